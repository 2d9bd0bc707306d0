"""Putting the settings together from where they stand."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from dispatcher.core.errors import SettingsError
from dispatcher.core.limits import Limits
from dispatcher.core.retry import Schedule
from dispatcher.settings.declared import (
    ENV_PREFIX,
    LIMIT_PREFIX,
    SETTINGS,
    Secret,
    Setting,
    Settings,
)
from dispatcher.settings.queues import DeclaredQueue, parse_queues
from dispatcher.settings.types import DeclaredType, parse_types

CONFIG_FILE: Final = "dispatcher.toml"
ENV_OF_OTHERS: Final = frozenset(
    {
        "DISPATCHER_CONFIG",  # names the file of settings
        "DISPATCHER_URL",  # the next two are the command line's, as a caller of the service
        "DISPATCHER_API_KEY",
        "DISPATCHER_DEBUG",  # tracebacks
        "DISPATCHER_JOB_ID",  # the next two are given to commands that run as jobs
        "DISPATCHER_ATTEMPT",
    }
)
"""Names in the environment that mean something but are no settings."""

_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


class Parsed(Struct, frozen=True):
    """The settings, what is odd about where they came from, and where each given one came from."""

    settings: Settings
    warnings: tuple[str, ...]
    sources: dict[str, str]


def parse_settings(
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
) -> Parsed:
    """Put the settings together.

    Args:
        environ: the environment. An empty value counts as unset.
        flags: by the name of the setting; None and () mean that it was not given.
        config: the file of `--config`. None: the one that `DISPATCHER_CONFIG` names, or
            `dispatcher.toml` in the working folder if it is there.

    Raises:
        SettingsError: an unknown key, a value out of its range, settings that contradict each
            other, or a file that can't be read.
    """
    warnings: list[str] = []
    given: dict[str, object] = {}
    sources: dict[str, str] = {}
    types: tuple[DeclaredType, ...] = ()
    queues: tuple[DeclaredQueue, ...] = ()
    path = config or _config_from(environ)
    if path is not None:
        found = _read(path)
        types = parse_types(found.pop("types", {}), path.name)
        queues = parse_queues(found.pop("queues", {}), path.name)
        for name, raw in found.items():
            given[name] = _parse(_known(name, path.name), raw, path.name)
            sources[name] = path.name
    for setting, env in _in_environment(environ, warnings):
        given[setting.name] = _parse(setting, environ[env], env, text=True)
        sources[setting.name] = env
    for name, raw in (flags or {}).items():
        if raw is not None and raw != ():
            flag = f"--{name.replace('_', '-')}"
            given[name] = _parse(_known(name, flag), raw, flag)
            sources[name] = flag
    return Parsed(_made_of(given, types, queues), tuple(warnings), sources)


def _in_environment(
    environ: Mapping[str, str], warnings: list[str]
) -> Iterator[tuple[Setting, str]]:
    """The settings that the environment gives; what is odd is added to `warnings`."""
    for env in sorted(environ):
        if not env.startswith(ENV_PREFIX) or env in ENV_OF_OTHERS:
            continue
        name = env.removeprefix(ENV_PREFIX).lower()
        if name not in _BY_NAME:
            warnings.append(f"{env} in the environment is no setting{_nearest(name, env=True)}")
        elif name == "port" and "://" in environ[env]:
            warnings.append(f"{env} in the environment is a link of Kubernetes; it is left out")
        elif environ[env].strip():
            yield _BY_NAME[name], env


def _made_of(
    given: Mapping[str, object],
    types: tuple[DeclaredType, ...],
    queues: tuple[DeclaredQueue, ...],
) -> Settings:
    limits: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in given.items():
        if name.startswith(LIMIT_PREFIX):
            limits[name.removeprefix(LIMIT_PREFIX)] = value
        else:
            own[name] = value
    return Settings(**own, limits=Limits(**limits), types=types, queues=queues)


def _config_from(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get("DISPATCHER_CONFIG", "").strip():
        return Path(named)
    # A link that leads nowhere is there, too: without its settings another store would be served.
    return Path(CONFIG_FILE) if os.path.lexists(CONFIG_FILE) else None


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror or error}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError(f"{path}: is not TOML in UTF-8: {error}") from error


def _known(name: str, source: str) -> Setting:
    if name not in _BY_NAME:
        raise SettingsError(f"{source}: there is no setting {name!r}{_nearest(name)}")
    return _BY_NAME[name]


def _nearest(name: str, *, env: bool = False) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), _BY_NAME, n=1)
    if not near:
        return "; docs/reference/settings.md lists them all"
    return f"; did you mean {_BY_NAME[near[0]].env if env else near[0]}?"


def _parse(setting: Setting, raw: object, source: str, *, text: bool = False) -> object:
    """The value of a setting; with `text` it came as words from the environment."""
    what = f"{source}: {setting.name}"
    if special := _SPECIAL.get(setting.name):
        return special(raw, what)
    if text and setting.name == "allow_callbacks":
        raw = _words(str(raw))
    elif text:
        raw = str(raw).strip()
    try:
        return msgspec.convert(raw, setting.type, strict=not text)
    except msgspec.ValidationError as error:
        if get_args(setting.type)[0] is bool:
            raise SettingsError(f"{what} is true or false, not {raw!r}") from None
        # Texts of `Literal`s come without the choices.
        choices = get_args(get_args(setting.type)[0])
        if choices and all(isinstance(choice, str) for choice in choices):
            raise SettingsError(f"{what} is one of {', '.join(choices)}, not {raw!r}") from None
        raise SettingsError(f"{what} can't be {raw!r}: {str(error).lower()}") from None


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _secret(raw: object, what: str) -> Secret:
    if not isinstance(raw, str):
        raise SettingsError(f"{what} must be a text that begins with dsk_")
    return Secret(raw.strip())


def _schedule(raw: object, what: str) -> Schedule:
    if isinstance(raw, str):
        raw = _words(raw)
    try:
        return Schedule(msgspec.convert(raw, tuple[float, ...], strict=False))
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(
            f"{what} is a list of seconds such as 0, 5, 300: {str(error).lower()}"
        ) from None


_SPECIAL: Final[dict[str, Callable[[object, str], object]]] = {
    "secret_key": _secret,
    "schedule": _schedule,
}
