"""`dispatcher queues`, `pause` and `resume`: maintenance beside a running service. Over HTTP."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from dispatcher.cli.calling import members, path_of, printable, read_list, service_of, with_service
from dispatcher.cli.options import print_json, with_json
from dispatcher.client.http import Service

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def _checked_name(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
        raise click.BadParameter("1 to 100 of a-z 0-9 . _ -, and the first is a letter or digit")
    return name


@click.command("queues")
@with_service
@with_json
def queues_command(*, url: str | None, as_json: bool) -> None:
    """List the queues: what waits, since when, what runs, and whether they are paused."""
    service = service_of(url)
    found, all_at = _overview(service)
    if as_json:
        print_json({"items": found, "pausedAt": all_at})
        return
    if all_at is not None:
        click.echo(printable(f"All queues are paused since {all_at}."))
    for each in found:
        click.echo(_line(each))


@click.command("pause")
@click.argument("queue", required=False, callback=_checked_name)
@with_service
@with_json
def pause_command(queue: str | None, *, url: str | None, as_json: bool) -> None:
    """Begin no more jobs of QUEUE, or of all queues.

    Jobs are still accepted, and wait; those that run go on.
    """
    found = _do("pause", queue, service_of(url))
    if as_json:
        print_json(found)
        return
    what = "All queues are" if queue is None else f"The queue {queue} is"
    click.echo(printable(f"{what} paused since {found.get('pausedAt')}."))


@click.command("resume")
@click.argument("queue", required=False, callback=_checked_name)
@with_service
@with_json
def resume_command(queue: str | None, *, url: str | None, as_json: bool) -> None:
    """Begin jobs of QUEUE again, or of all queues but those that were paused by name."""
    service = service_of(url)
    if as_json:
        print_json(_do("resume", queue, service))
        return
    before, all_at = _overview(service)
    named = [str(each.get("name")) for each in before if each.get("pausedAt") is not None]
    _do("resume", queue, service)
    click.echo(printable(_resumed(queue, named, all_at)))


def _resumed(queue: str | None, named: list[str], all_at: Any) -> str:
    """What came of it, by the queues that were paused by name, and since when all were."""
    if queue is None:
        still = f" Still paused by name: {', '.join(named)}." if named else ""
        return ("The queues go on." if all_at is not None else "They were not all paused.") + still
    if queue not in named:
        others = f"Paused by name: {', '.join(named)}." if named else "No queue is by name."
        found = f"The queue {queue} was not paused. {others}"
    else:
        found = f"The queue {queue} goes on."
    if all_at is None:
        return found
    return f"{found} All queues are paused since {all_at}: `dispatcher resume` ends that."


def _overview(service: Service) -> tuple[list[dict[str, Any]], Any]:
    """The queues, and since when all are paused, if they are."""
    found = read_list(service, "/v1/queues", {})
    return found, members(service.call("GET", "/v1/queues?limit=1")).get("pausedAt")


def _do(verb: str, queue: str | None, service: Service) -> dict[str, Any]:
    path = f"/v1/{verb}" if queue is None else path_of("queues", queue, verb)
    return members(service.call("POST", path))


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
