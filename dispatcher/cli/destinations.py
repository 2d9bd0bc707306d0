"""`dispatcher destinations`: where callbacks go, and what to do about it. Over HTTP."""

from __future__ import annotations

from typing import Any

import click

from dispatcher.cli.calling import (
    for_each,
    members,
    path_of,
    printable,
    read_list,
    service_of,
    with_service,
)
from dispatcher.cli.options import print_json, with_json


@click.group("destinations")
def destinations_group() -> None:
    """Where callbacks go: a caller's origins and endpoints. For operators."""


@destinations_group.command("list")
@click.option("--caller", "callerId", metavar="CALLER_ID", help="Those of one caller.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@with_service
@with_json
def list_command(*, url: str | None, limit: int, as_json: bool, **query: Any) -> None:
    """List destinations, newest first: id, state, breaker, what waits and is sent, origin."""
    found = read_list(service_of(url), "/v1/destinations", query, limit=limit)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(_line(each))


@destinations_group.command("pause")
@click.argument("destination_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def pause_command(destination_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Send nothing more there until it is resumed; what is under way goes on."""
    _do("pause", destination_ids, url=url, as_json=as_json)


@destinations_group.command("resume")
@click.argument("destination_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def resume_command(destination_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Send there again."""
    _do("resume", destination_ids, url=url, as_json=as_json)


def _do(verb: str, destination_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    service = service_of(url)

    def do(destination_id: str) -> None:
        found = members(service.call("POST", path_of("destinations", destination_id, verb)))
        if as_json:
            print_json(found)
        else:
            click.echo(_line(found))

    for_each(destination_ids, do)


def _line(each: dict[str, Any]) -> str:
    breaker = each.get("breaker") or {}
    words = [each.get("id"), each.get("state"), f"breaker {breaker.get('state')}"]
    if breaker.get("openUntil"):
        words.append(f"until {breaker['openUntil']}")
    words += [f"{each.get('pending')} pending,", f"{each.get('sending')} sending"]
    if each.get("urlsInTrouble"):
        words.append(f"({each['urlsInTrouble']} URLs in trouble)")
    words += [each.get("endpointId") or each.get("origin"), "of", each.get("callerId")]
    return printable(" ".join(map(str, words)))
