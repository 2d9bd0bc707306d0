"""What commands share that ask a running service over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import click

from dispatcher.cli.options import Command
from dispatcher.client.http import DEFAULT_URL, Answer, Refused, Service, Unreachable
from dispatcher.core.errors import DispatcherError
from dispatcher.core.limits import ANY_PAGE_ITEMS


class SomeRefused(DispatcherError):
    """Of several things that were asked for, some were refused; each was told."""


def with_service(command: Command) -> Command:
    """`--url`: which service to ask."""
    return click.option(
        "--url", metavar="URL", help=f"The service: DISPATCHER_URL, else {DEFAULT_URL}."
    )(command)


def with_bounds(command: Command) -> Command:
    """`--after`, `--before`, `--caller` and `--limit`, for lists."""
    for option in (
        click.option("--limit", type=click.IntRange(1), default=20, show_default=True),
        click.option("--caller", "callerId", metavar="CALLER_ID", help="For operators: of whom."),
        click.option("--before", "createdBefore", metavar="TIME", help="Made before then."),
        click.option(
            "--after", "createdAfter", metavar="TIME", help="Made after: 2026-01-31T09:30:00Z"
        ),
    ):
        command = option(command)
    return command


def service_of(url: str | None) -> Service:
    """The service to ask, with the API key in DISPATCHER_API_KEY; raises `SettingsError`."""
    return Service(
        url or os.environ.get("DISPATCHER_URL") or DEFAULT_URL,
        os.environ.get("DISPATCHER_API_KEY") or None,
    )


def path_of(collection: str, id_: str, *rest: str) -> str:
    """The path of one thing, whatever was typed as its id."""
    return "/".join((f"/v1/{collection}", quote(id_, safe=""), *rest))


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """The path with a query; what is None is not asked for."""
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{path}?{asked}" if asked else path


def read_list(
    service: Service, path: str, query: Mapping[str, Any], *, limit: int | None = None
) -> list[dict[str, Any]]:
    """Up to `limit` items of a list (None: all), through its pages; what is None is not asked for.

    How much a page holds is the service's to say. Raises `Refused`, `Unreachable`.
    """
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        left = ANY_PAGE_ITEMS if limit is None else min(limit - len(found), ANY_PAGE_ITEMS)
        asked = {**query, "limit": left, "cursor": cursor}
        page = members(service.call("GET", with_query(path, asked)))
        items = page.get("items")
        if not isinstance(items, list):
            raise Unreachable("the answer is no list: is that the dispatcher? Check DISPATCHER_URL")
        found += items
        cursor = page.get("nextCursor")
        if cursor is None or (limit is not None and len(found) >= limit):
            return found[:limit]


def members(answer: Answer) -> dict[str, Any]:
    """The members of an answer that must be an object."""
    value = answer.json()
    if not isinstance(value, dict):
        raise Unreachable("the answer is no object: is that the dispatcher? Check DISPATCHER_URL")
    return value


def for_each(ids: Sequence[str], do: Callable[[str], None]) -> None:
    """Do something for each; one that is refused stops no other.

    Raises `SomeRefused` at the end, or what is refused itself if it is the only one.
    """
    if len(ids) == 1:
        do(ids[0])
        return
    refused = 0
    for each in ids:
        try:
            do(each)
        except Refused as error:
            refused += 1
            click.echo(f"dispatcher: {each}: {error}", err=True)
    if refused:
        raise SomeRefused(f"{refused} of {len(ids)} were refused")


def printable(text: object) -> str:
    """Without control characters: others' words must not command the terminal."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)
    )
