"""`dispatcher callers limits`: what a caller may use, and the schedule of its callbacks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from dispatcher.cli.caller_store import with_caller
from dispatcher.cli.options import (
    bad_schedule,
    parse_schedule,
    print_json,
    settings_of,
    with_json,
    with_store,
)
from dispatcher.core.audit import CLI
from dispatcher.core.limits import MOST_BODY_BYTES, MOST_BYTES_WAITING, MOST_WAITING
from dispatcher.core.model import Caller
from dispatcher.core.quotas import CallerLimits, CallerTerms
from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule
from dispatcher.core.submission import check_schedule
from dispatcher.engine.callers import Callers, terms_json

DEFAULT: Final = "default"
_RATE: Final = re.compile(r"([0-9]{1,10})/([0-9]{1,5})s?")
_NUMBER: Final = re.compile(r"[0-9]{1,16}")


def _checked_rate(_: click.Context, __: click.Parameter, text: str | None) -> Rate | str | None:
    if text is None or text == DEFAULT:
        return text
    match = _RATE.fullmatch(text)
    try:
        if match is not None:
            return Rate(int(match[1]), int(match[2]))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    raise click.BadParameter("submissions/seconds, such as 600/60, or `default`")


def _checked_count(most: int) -> Callable[..., int | str | None]:
    def check(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
        if text is None or text == DEFAULT:
            return text
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
            raise click.BadParameter(f"1 to {most}, or `default`")
        return int(text)

    return check


def _checked_schedule(
    _: click.Context, __: click.Parameter, text: str | None
) -> Schedule | str | None:
    if text is None or text == DEFAULT:
        return text
    return parse_schedule(text)


@click.command("limits")
@click.argument("caller")
@click.option(
    "--rate", callback=_checked_rate, metavar="N/SECONDS", help="How often it may submit."
)
@click.option(
    "--jobs-waiting",
    callback=_checked_count(MOST_WAITING),
    metavar="N",
    help="How many of its jobs wait.",
)
@click.option(
    "--bytes-waiting",
    callback=_checked_count(MOST_BYTES_WAITING),
    metavar="BYTES",
    help="How large their inputs are together.",
)
@click.option(
    "--body-bytes",
    callback=_checked_count(MOST_BODY_BYTES),
    metavar="BYTES",
    help="How large a submission is.",
)
@click.option(
    "--schedule",
    callback=_checked_schedule,
    metavar="SECONDS,…",
    help="The waits before each attempt of its callbacks, the first included.",
)
@with_store
@with_json
def limits_command(
    caller: str, *, config: Path | None, store: str | None, as_json: bool, **wanted: Any
) -> None:
    """Show what a caller (its name or id) may use, or change it; at most so much each.

    `default` takes away what was set: then the service's own settings are in force.
    """
    settings = settings_of({"store": store}, config).settings
    schedule = wanted["schedule"]
    if isinstance(schedule, Schedule):
        for fault in check_schedule(schedule.seconds, settings.limits):
            raise bad_schedule(fault.detail)

    def change(callers: Callers, known: Caller) -> Awaitable[Caller]:
        return callers.change(known.id, lambda terms: changed(terms, wanted), CLI)

    found = asyncio.run(with_caller(settings, caller, change))
    shown = terms_json(found.terms)
    if as_json:
        print_json({"callerId": found.id, **shown})
        return
    lines = list(lines_of(shown["limits"], shown["schedule"]))
    print(f"{found.name} ({found.id})")
    for line in lines or ["nothing is set: the service's settings are in force"]:
        print(f"  {line}")


def changed(terms: CallerTerms, wanted: Mapping[str, Any]) -> CallerTerms:
    """What is set after a change; what is None in `wanted` stays as it is."""

    def new(name: str, now: Any) -> Any:
        value = wanted[name]
        if value is None:
            return now
        return None if value == DEFAULT else value

    limits = terms.limits
    return CallerTerms(
        limits=CallerLimits(
            rate=new("rate", limits.rate),
            jobs_waiting=new("jobs_waiting", limits.jobs_waiting),
            bytes_waiting=new("bytes_waiting", limits.bytes_waiting),
            body_bytes=new("body_bytes", limits.body_bytes),
        ),
        schedule=new("schedule", terms.schedule),
    )


def lines_of(limits: Mapping[str, Any], schedule: Sequence[float] | None) -> Iterator[str]:
    """What is set, a line each."""
    rate = limits["rate"]
    if rate is not None:
        yield f"limit   {rate['requests']} submissions in {rate['windowSeconds']} s"
    for name, what in (
        ("jobsWaiting", "jobs waiting"),
        ("bytesWaiting", "bytes of waiting inputs"),
        ("bodyBytes", "bytes a submission"),
    ):
        if limits[name] is not None:
            yield f"limit   {limits[name]} {what}"
    if schedule is not None:
        yield f"callbacks after {', '.join(f'{each:g}' for each in schedule)} s"
