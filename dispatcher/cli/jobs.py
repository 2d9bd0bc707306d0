"""`dispatcher jobs`: look at jobs, cancel, replay and delete them. Over HTTP."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

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


@click.group("jobs")
def jobs_group() -> None:
    """Jobs that were submitted."""


@jobs_group.command("list")
@click.option("--status", help="queued, scheduled, running, retrying, succeeded, failed, …")
@click.option("--type", "type", metavar="TYPE")
@click.option("--queue")
@click.option("--correlation-id", "correlationId")
@with_bounds
@with_service
@with_json
def list_command(*, url: str | None, limit: int, as_json: bool, **query: Any) -> None:
    """List jobs, newest first: id, status, type, and when it was submitted."""
    found = read_list(service_of(url), "/v1/jobs", query, limit=limit)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(_line(each))


@jobs_group.command("show")
@click.argument("job_id", metavar="ID")
@with_service
@with_json
def show_command(job_id: str, *, url: str | None, as_json: bool) -> None:
    """Show all of one job."""
    found = members(service_of(url).call("GET", path_of("jobs", job_id)))
    if as_json:
        print_json(found)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


@jobs_group.command("cancel")
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def cancel_command(job_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Cancel: one that waits ends at once, one that runs is asked to stop."""
    service = service_of(url)

    def cancel(job_id: str) -> None:
        found = members(service.call("POST", path_of("jobs", job_id, "cancel")))
        if as_json:
            print_json(found)
        else:
            click.echo(_line(found))

    for_each(job_ids, cancel)


@jobs_group.command("replay")
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def replay_command(job_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Submit it once more: a new job with the same input, whose line is printed."""
    service = service_of(url)

    def replay(job_id: str) -> None:
        found = members(service.call("POST", path_of("jobs", job_id, "replay")))
        if as_json:
            print_json(found)
        else:
            click.echo(_line(found))

    for_each(job_ids, replay)


@jobs_group.command("delete")
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
@click.option("--cancel-deliveries", is_flag=True, help="Cancel the callbacks that it owes.")
@with_service
@with_json
def delete_command(
    job_ids: tuple[str, ...], *, cancel_deliveries: bool, url: str | None, as_json: bool
) -> None:
    """Erase what is done: its input, result, events and callbacks."""
    service = service_of(url)
    query = "?cancelDeliveries=true" if cancel_deliveries else ""

    def delete(job_id: str) -> None:
        service.call("DELETE", path_of("jobs", job_id) + query)
        if as_json:
            print_json({"id": job_id, "erased": True})
        else:
            click.echo(f"{printable(job_id)} erased")

    for_each(job_ids, delete)


@jobs_group.command("result")
@click.argument("job_id", metavar="ID")
@with_service
@with_json
def result_command(job_id: str, *, url: str | None, as_json: bool) -> None:
    """Print the result of one that succeeded: JSON, byte for byte; with --json on one line."""
    answer = service_of(url).call("GET", path_of("jobs", job_id, "result"))
    if as_json:
        print_json(answer.json())
        return
    sys.stdout.buffer.write(answer.body + b"\n")
    sys.stdout.flush()


def _line(job: dict[str, Any]) -> str:
    words = [job.get(name) for name in ("id", "status", "type", "createdAt")]
    if job.get("status") == "running" and job.get("cancelRequestedAt"):
        words.append("(asked to cancel)")
    return printable(" ".join(map(str, words)))
