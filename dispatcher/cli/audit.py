"""`dispatcher audit`: what operators did. Over HTTP."""

from __future__ import annotations

from typing import Any

import click

from dispatcher.cli.calling import printable, read_list, service_of, with_bounds, with_service
from dispatcher.cli.options import print_json, with_json


@click.command("audit")
@click.option("--action", help="caller.create, key.revoke, job.cancel, …")
@click.option("--target", metavar="ID", help="What it was done to.")
@click.option("--actor", "actorId", metavar="CALLER_ID", help="Who did it.")
@with_bounds
@with_service
@with_json
def audit_command(*, url: str | None, limit: int, as_json: bool, **query: Any) -> None:
    """List what operators did, newest first: when, what, to what, by whom, and from where."""
    found = read_list(service_of(url), "/v1/audit", query, limit=limit)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(_line(each))


def _line(entry: dict[str, Any]) -> str:
    actor = entry["actor"]
    parts = [entry["at"], entry["action"], entry["target"], "by", actor["callerId"] or actor["via"]]
    if actor["keyId"] is not None:
        parts += ["with", actor["keyId"]]
    if actor["address"] is not None:
        parts += ["from", actor["address"]]
    return printable(" ".join(map(str, parts)))
