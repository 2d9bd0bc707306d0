"""`dispatcher deliveries`: look at callbacks, send them again, or stop them. Over HTTP."""

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
    with_bounds,
    with_service,
)
from dispatcher.cli.options import print_json, with_json


@click.group("deliveries")
def deliveries_group() -> None:
    """Callbacks on their way, and what became of them."""


@deliveries_group.command("list")
@click.option("--status", help="pending, sending, delivered, dead or canceled.")
@click.option("--job", "jobId", metavar="JOB_ID")
@click.option("--event", "eventType", metavar="TYPE", help="job.succeeded, say.")
@click.option("--callback", "callback_url", metavar="URL", help="Those to exactly this URL.")
@with_bounds
@with_service
@with_json
def list_command(
    *, url: str | None, callback_url: str | None, limit: int, as_json: bool, **query: Any
) -> None:
    """List deliveries, newest first: id, status, event, attempts, URL."""
    asked = query | {"url": callback_url}
    found = read_list(service_of(url), "/v1/deliveries", asked, limit=limit)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(_line(each))


@deliveries_group.command("show")
@click.argument("delivery_id", metavar="ID")
@with_service
@with_json
def show_command(delivery_id: str, *, url: str | None, as_json: bool) -> None:
    """Show one with its attempts."""
    found = members(service_of(url).call("GET", path_of("deliveries", delivery_id)))
    if as_json:
        print_json(found)
        return
    click.echo(_line(found))
    for attempt in found.get("attempts", ()):
        click.echo(f"  {_attempt_line(attempt)}")
    if found.get("nextAttemptAt"):
        click.echo(f"  next at {printable(found['nextAttemptAt'])}")


@deliveries_group.command("redeliver")
@click.argument("delivery_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def redeliver_command(delivery_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Begin a new round of attempts: the same event, with the same webhook-id and body."""
    _do("redeliver", delivery_ids, url=url, as_json=as_json)


@deliveries_group.command("cancel")
@click.argument("delivery_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def cancel_command(delivery_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Try it no more. One that is being sent may still land."""
    _do("cancel", delivery_ids, url=url, as_json=as_json)


def _do(verb: str, delivery_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    service = service_of(url)

    def do(delivery_id: str) -> None:
        found = members(service.call("POST", path_of("deliveries", delivery_id, verb)))
        if as_json:
            print_json(found)
        else:
            click.echo(_line(found))

    for_each(delivery_ids, do)


def _line(delivery: dict[str, Any]) -> str:
    count = delivery.get("attemptCount")
    words = [delivery.get(name) for name in ("id", "status", "eventType")]
    words += [f"{count} attempt{'' if count == 1 else 's'}", delivery.get("url")]
    if delivery.get("status") == "sending" and delivery.get("cancelRequestedAt"):
        words.append("(asked to cancel)")
    return printable(" ".join(map(str, words)))


def _attempt_line(attempt: dict[str, Any]) -> str:
    error = attempt.get("error") or {}
    status = attempt.get("statusCode") or "no answer"
    words = [attempt.get("number"), attempt.get("at"), status, f"{attempt.get('durationMs')} ms"]
    if error:
        words.append(f"{error.get('code')}: {error.get('detail')}")
    return printable(" ".join(map(str, words)))
