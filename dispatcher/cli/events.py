"""`dispatcher events`: what happens, for who can't receive callbacks. Over HTTP."""

from __future__ import annotations

import time

import click

from dispatcher.cli.calling import printable, service_of, with_service
from dispatcher.cli.options import print_json, with_json
from dispatcher.cli.submitting import follow
from dispatcher.core.limits import ANY_PAGE_ITEMS


@click.command("events")
@click.option("--follow", "on", is_flag=True, help="Go on as more happens, until Ctrl-C.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="job.failed, say. Repeatable.")
@click.option("--cursor", help="Go on after this one, as --cursors printed it.")
@click.option("--cursors", is_flag=True, help="Print the cursor after each page, on stderr.")
@click.option("--caller", "callerId", metavar="CALLER_ID", help="For operators: of whom.")
@with_service
@with_json
def events_command(
    *,
    on: bool,
    types: tuple[str, ...],
    cursor: str | None,
    cursors: bool,
    url: str | None,
    as_json: bool,
    callerId: str | None,  # noqa: N803  # as the query has it
) -> None:
    """Print events, oldest first: when, what, of which job.

    With --json each event whole, one JSON object a line.

    Who keeps the cursor of what was done misses nothing and sees nothing twice. That events after
    a cursor are not kept any more is said on stderr.
    """
    asked = {"types": ",".join(types) or None, "callerId": callerId, "cursor": cursor or None}
    query = {"limit": str(ANY_PAGE_ITEMS), **asked}
    for page in follow(service_of(url), query, on=on, sleep=time.sleep):
        if page.get("gap"):
            click.echo("dispatcher: events after this cursor are not kept any more", err=True)
        for each in page.get("items", ()):
            if as_json:
                print_json(each)
            else:
                data = each.get("data") or {}
                words = (each.get("timestamp"), each.get("type"), data.get("id", ""))
                click.echo(printable(" ".join(map(str, words))).rstrip())
        if cursors:
            click.echo(printable(page["nextCursor"]), err=True)
