"""`dispatcher queues`, `pause` and `resume`: maintenance beside a running service. Over HTTP."""

from __future__ import annotations

from typing import Any, Final

import click

from dispatcher.cli.calling import members, path_of, printable, read_list, service_of, with_service
from dispatcher.cli.options import print_json, with_json

_MOST: Final = 10_000


@click.command("queues")
@with_service
@with_json
def queues_command(*, url: str | None, as_json: bool) -> None:
    """List the queues: what waits, since when, what runs, and whether they are paused."""
    service = service_of(url)
    found = read_list(service, "/v1/queues", {}, limit=_MOST)
    all_at = members(service.call("GET", "/v1/queues?limit=1")).get("pausedAt")
    if as_json:
        print_json({"items": found, "pausedAt": all_at})
        return
    if all_at is not None:
        click.echo(printable(f"All queues are paused since {all_at}."))
    for each in found:
        click.echo(_line(each))


@click.command("pause")
@click.argument("queue", required=False)
@with_service
@with_json
def pause_command(queue: str | None, *, url: str | None, as_json: bool) -> None:
    """Begin no more jobs of QUEUE, or of all queues.

    Jobs are still accepted, and wait; those that run go on.
    """
    found = _do("pause", queue, url)
    if as_json:
        print_json(found)
        return
    what = "All queues are" if queue is None else f"The queue {queue} is"
    click.echo(printable(f"{what} paused since {found.get('pausedAt')}."))


@click.command("resume")
@click.argument("queue", required=False)
@with_service
@with_json
def resume_command(queue: str | None, *, url: str | None, as_json: bool) -> None:
    """Begin jobs of QUEUE again, or of all queues but those that were paused by name."""
    found = _do("resume", queue, url)
    if as_json:
        print_json(found)
        return
    what = "The queues go on." if queue is None else f"The queue {queue} goes on."
    click.echo(printable(what))


def _do(verb: str, queue: str | None, url: str | None) -> dict[str, Any]:
    path = f"/v1/{verb}" if queue is None else path_of("queues", queue, verb)
    return members(service_of(url).call("POST", path))


def _line(queue: dict[str, Any]) -> str:
    words = [
        str(queue.get("name")),
        f"{queue.get('depth')} waiting",
        f"{queue.get('scheduled')} scheduled",
        f"{queue.get('running')} running",
    ]
    if queue.get("oldestAgeSeconds") is not None:
        words.append(f"oldest {queue['oldestAgeSeconds']} s")
    if queue.get("pausedAt") is not None:
        words.append(f"paused since {queue['pausedAt']}")
    return printable(", ".join(words))
