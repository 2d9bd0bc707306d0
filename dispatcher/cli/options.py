"""Options that several commands share, and the settings that they lead to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from dispatcher.core.retry import Schedule
from dispatcher.ports.records import MOST_OVERLAP_SECONDS, OVERLAP_SECONDS
from dispatcher.settings import SETTINGS, Parsed, parse_settings

Command = TypeVar("Command", bound=Callable[..., Any])

_DESCRIPTIONS = {setting.name: setting.description for setting in SETTINGS}


def described(name: str) -> str:
    """What a setting says about itself, as help of its flag."""
    return _DESCRIPTIONS[name].replace("`", "")


def with_store(command: Command) -> Command:
    """`--config` and `--store`, for commands that open the store themselves."""
    store = click.option("--store", metavar="URL", help=described("store"))
    return with_config(store(command))


def with_config(command: Command) -> Command:
    """`--config`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file of settings; without it, dispatcher.toml in this folder if it is there.",
    )(command)


def with_json(command: Command) -> Command:
    """`--json`, given to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def with_overlap(what: str) -> Callable[[Command], Command]:
    """`--overlap`, for rotations; `what` is what goes on signing meanwhile."""
    return click.option(
        "--overlap",
        type=click.IntRange(0, MOST_OVERLAP_SECONDS),
        default=OVERLAP_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help=f"The {what} go on signing this long; 0 after a leak, a week at most.",
    )


def parse_schedule(text: str) -> Schedule:
    """`--schedule`: seconds with commas or spaces between, as the setting is written.

    Raises `click.BadParameter`; what may be less than a schedule has at most is not known here.
    """
    try:
        seconds = tuple(float(each) for each in text.replace(",", " ").split())
    except ValueError:
        raise bad_schedule(f"{text!r} is not seconds such as 0,5,300") from None
    try:
        return Schedule(seconds)
    except ValueError as error:
        raise bad_schedule(str(error)) from None


def bad_schedule(why: str) -> click.BadParameter:
    """The error of a `--schedule` that can't be."""
    return click.BadParameter(why, param_hint="'--schedule'")


def parse_headers(given: Sequence[str]) -> dict[str, str]:
    """`--header NAME:VALUE`; raises `click.BadParameter`, without the value: it may be secret."""
    return parse_pairs("--header", given, ":")


def parse_pairs(option: str, given: Sequence[str], mark: str) -> dict[str, str]:
    """What was given as NAME, `mark`, VALUE; raises `click.BadParameter`."""
    found: dict[str, str] = {}
    for each in given:
        name, marked, value = each.partition(mark)
        if not marked or not name.strip():
            raise click.BadParameter(f"it is written NAME{mark}VALUE", param_hint=f"'{option}'")
        found[name.strip()] = value.strip()
    return found


def settings_of(flags: dict[str, object], config: Path | None) -> Parsed:
    """The settings of this run; what is odd about the environment is told on standard error."""
    parsed = parse_settings(environ=os.environ, flags=flags, config=config)
    for warning in parsed.warnings:
        print(f"dispatcher: warning: {warning}", file=sys.stderr)
    return parsed


def print_json(value: object) -> None:
    """One line of JSON on standard output."""
    print(msgspec.json.encode(value).decode(), flush=True)
