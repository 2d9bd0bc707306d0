"""Types of jobs that are declared in the settings, without Python: `[types."name"]`."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta, Struct

from dispatcher.core.errors import SettingsError
from dispatcher.core.urls import Refused, parse_url


def _says(description: str, least: float | None = None, most: float | None = None) -> Meta:
    return Meta(description=description, ge=least, le=most)


_YEAR: Final = 365 * 86_400
_NAME: Final = re.compile("[a-z0-9][a-z0-9._-]{0,99}")
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_NAME_RULE: Final = (
    "begins with a small letter or a digit, and goes on with those, `.`, `_` or `-`, to 100 "
    "characters at most"
)
_RESERVED: Final = "dispatcher."


class DeclaredType(Struct, frozen=True, kw_only=True, tag_field="runner"):
    """What every declared type says; making one raises `SettingsError` where it can't stand."""

    name: str
    description: Annotated[str, _says("For people who read `/v1/types`.")] = ""
    queue: Annotated[str, _says("Where its jobs wait, unless the submission says.")] = "default"
    timeout_seconds: Annotated[
        float, _says("How long an attempt may take, unless the submission says.", 0.001, _YEAR)
    ] = 600
    max_timeout_seconds: Annotated[
        Annotated[float, Meta(ge=0.001, le=_YEAR)] | None,
        _says("The most that a submission may say; else `limit_timeout_seconds`."),
    ] = None
    max_attempts: Annotated[
        int,
        _says("The attempts, the first included, unless the submission says.", 1, 1_000_000),
    ] = 3
    most_attempts: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _says("The most that a submission may say; else `limit_max_attempts`."),
    ] = None
    backoff_seconds: Annotated[
        float,
        _says(
            "The seconds until the second attempt; then four times as many each time, up to an "
            "hour.",
            0,
            7 * 86_400,
        ),
    ] = 1
    schema: Annotated[
        str | None,
        _says("A file with the JSON Schema of the input; what does not fit is refused with 422."),
    ] = None
    result_bytes: Annotated[
        int, _says("Bytes of a result at most; a job with more fails.", 1, 2**30)
    ] = 8_388_608

    def __post_init__(self) -> None:
        check_name("queue", self.queue)
        for least, most in (
            ("timeout_seconds", "max_timeout_seconds"),
            ("max_attempts", "most_attempts"),
        ):
            if (bound := getattr(self, most)) is not None and bound < getattr(self, least):
                raise SettingsError(f"{most} can't be less than {least}")

    def read_schema(self) -> bytes | None:
        """The JSON Schema of the input; raises `SettingsError` if the file can't be used."""
        return _read_schema("schema", self.schema)


class CommandType(DeclaredType, frozen=True, kw_only=True, tag="command"):
    """Done by a command: JSON on standard input and output."""

    command: Annotated[
        tuple[str, ...],
        _says("The program and its arguments, as a list; it is never put through a shell."),
    ]
    environment: Annotated[
        dict[str, str],
        _says("What its environment has besides the little that every command gets."),
    ] = {}
    concurrency: Annotated[
        int, _says("How many run at once in a process of the service.", 1, 10_000)
    ] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.command or not self.command[0]:
            raise SettingsError('command must name a program: command = ["wc", "-c"]')
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise SettingsError(f"environment can't have a variable named {name!r}")
        if any("\0" in each for each in (*self.command, *self.environment.values())):
            raise SettingsError("command and environment can't have NUL characters")


class HttpType(DeclaredType, frozen=True, kw_only=True, tag="http"):
    """Done by an ordinary HTTP endpoint: its answer is the result."""

    url: Annotated[
        str,
        _says("Where the input is POSTed to: trusted as it stands, whatever its address."),
    ]
    safe_to_repeat: Annotated[
        bool,
        _says(
            "Whether a request may be sent again when nobody knows what came of it. Without it "
            "such a job fails as `outcome-unknown`."
        ),
    ] = False
    concurrency: Annotated[
        int, _says("How many run at once in a process of the service.", 1, 10_000)
    ] = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        refused = parse_url(self.url)
        if isinstance(refused, Refused):
            raise SettingsError(f"url can't be used: {refused.detail}")


class RemoteType(DeclaredType, frozen=True, kw_only=True, tag="remote"):
    """Done by workers that lease jobs over HTTP (`/v1/leases`), in any language."""

    result_schema: Annotated[
        str | None,
        _says("A file with the JSON Schema of the result; a worker is told what does not fit."),
    ] = None
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        _says("How many are leased at once at most, to all workers together; else any number."),
    ] = None

    def read_result_schema(self) -> bytes | None:
        """The JSON Schema of the result; raises `SettingsError` if the file can't be used."""
        return _read_schema("result_schema", self.result_schema)


RUNNERS: Final[dict[str, type[DeclaredType]]] = {
    "command": CommandType,
    "http": HttpType,
    "remote": RemoteType,
}
"""The kinds of declared types, by what `runner` says."""


def parse_types(found: object, source: str) -> tuple[DeclaredType, ...]:
    """The types that the table `types` of a file declares, by name.

    Raises:
        SettingsError: one can't stand; the message says which, and what to change.
    """
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise SettingsError(f'{source}: types are tables: [types."media.probe"]')
    return tuple(_parse_type(name, found[name], source) for name in sorted(found))


def fields_of(kind: type[DeclaredType]) -> dict[str, Any]:
    """The keys that a table of this kind may have, each with its annotated type."""
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in msgspec.structs.fields(kind)]
    return {name: hints[name] for name in names if name != "name"}


def _parse_type(name: str, table: dict[str, Any], source: str) -> DeclaredType:
    check_name(f"{source}: the type", name)
    if name.startswith(_RESERVED):
        raise SettingsError(f"{source}: the type {name!r}: names in `{_RESERVED}*` are built in")
    where = f"{source}: the type {name!r}"
    if (unquoted := _unquoted(name, table)) is not None:
        raise SettingsError(
            f"{source}: [types.{unquoted}] is a table in a table; a name with dots is quoted: "
            f'[types."{unquoted}"]'
        )
    kind = RUNNERS.get(str(table.get("runner")))
    if kind is None:
        raise SettingsError(f'{where}: runner is one of {", ".join(RUNNERS)}: runner = "command"')
    known = fields_of(kind)
    for key in table:
        if key not in known and key != "runner":
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise SettingsError(f"{where}: runner {table['runner']!r} has no {key!r}{hint}")
    for key, value in table.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"{where}: {key} must be a finite number")
    try:
        declared = msgspec.convert({**table, "name": name}, kind)
        declared.read_schema()
        if isinstance(declared, RemoteType):
            declared.read_result_schema()
    except (SettingsError, msgspec.ValidationError) as error:
        raise SettingsError(f"{where}: {error}") from None
    return declared


def _unquoted(name: str, table: dict[str, Any]) -> str | None:
    """The name that was meant if its dots made tables in tables; `environment` may be one."""
    steps = [name]
    while table and "environment" not in table:
        if not all(isinstance(each, dict) for each in table.values()):
            break
        step = next(iter(table))
        steps.append(step)
        table = table[step]
    return ".".join(steps) if len(steps) > 1 else None


def _read_schema(what: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        found = Path(path).read_bytes()
        parsed = msgspec.json.decode(found)
    except OSError as error:
        raise SettingsError(
            f"{what} {path!r} can't be read: {error.strerror or error} (looked in {Path.cwd()})"
        ) from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{what} {path!r} is not JSON: {error}") from error
    if not isinstance(parsed, dict | bool):
        raise SettingsError(f"{what} {path!r} is JSON, but no JSON Schema")
    return found


def check_name(what: str, name: str) -> None:
    """Raise `SettingsError` if a type or queue can't have this name."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{what} {name!r} is no name: a name {_NAME_RULE}")
