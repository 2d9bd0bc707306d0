"""`dispatcher endpoints`: callback URLs registered for the events of all jobs. Over HTTP."""

from __future__ import annotations

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
    with_query,
    with_service,
)
from dispatcher.cli.options import (
    parse_headers,
    parse_schedule,
    print_json,
    with_json,
    with_overlap,
)
from dispatcher.core.payload import encode


@click.group("endpoints")
def endpoints_group() -> None:
    """Callback URLs registered for the events of all of a caller's jobs."""


def _with_wishes(command: Any) -> Any:
    """What an endpoint can be given."""
    for option in (
        click.option(
            "--schedule",
            metavar="S,S,…",
            help="The seconds before each attempt, the first included; default takes it away.",
        ),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="NAME:VALUE",
            help="To send along; kept encrypted. Those given replace those there are.",
        ),
        click.option(
            "--event",
            "events",
            multiple=True,
            metavar="TYPE",
            help="job.succeeded, delivery.dead, say; those that end a job if none is given.",
        ),
    ):
        command = option(command)
    return command


@endpoints_group.command("add")
@click.argument("target", metavar="URL")
@_with_wishes
@click.option("--caller", metavar="CALLER_ID", help="For operators: whose it is to be.")
@with_service
@with_json
def add_command(
    target: str, *, caller: str | None, url: str | None, as_json: bool, **wishes: Any
) -> None:
    """Register a URL. Its signing secret is printed this once."""
    path = with_query("/v1/endpoints", {"callerId": caller})
    asked = {"url": target} | _wished(**wishes)
    made = members(service_of(url).call("POST", path, body=encode(asked)))
    if as_json:
        print_json(made)
        return
    click.echo(_line(made))
    click.echo(f"  secret  {printable(made.get('secret'))}  (shown this once)")


@endpoints_group.command("set")
@click.argument("endpoint_id", metavar="ID")
@click.option("--to", "target", metavar="URL", help="Where its events go from then on.")
@_with_wishes
@with_service
@with_json
def set_command(
    endpoint_id: str, *, target: str | None, url: str | None, as_json: bool, **wishes: Any
) -> None:
    """Change it; what is not named stays as it is."""
    asked = _wished(**wishes) | ({} if target is None else {"url": target})
    if not asked:
        raise click.UsageError("say what to change: --to, --event, --header or --schedule")
    path = path_of("endpoints", endpoint_id)
    changed = members(service_of(url).call("PATCH", path, body=encode(asked)))
    _tell(changed, as_json=as_json)


@endpoints_group.command("list")
@click.option("--caller", "callerId", metavar="CALLER_ID", help="For operators: of whom.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@with_service
@with_json
def list_command(*, url: str | None, limit: int, as_json: bool, **query: Any) -> None:
    """List endpoints, newest first: id, status, events, URL."""
    found = read_list(service_of(url), "/v1/endpoints", query, limit=limit)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(_line(each))


@endpoints_group.command("show")
@click.argument("endpoint_id", metavar="ID")
@with_service
@with_json
def show_command(endpoint_id: str, *, url: str | None, as_json: bool) -> None:
    """Show all of one."""
    found = members(service_of(url).call("GET", path_of("endpoints", endpoint_id)))
    if as_json:
        print_json(found)
    else:
        click.echo(msgspec.json.format(encode(found), indent=2).decode())


@endpoints_group.command("remove")
@click.argument("endpoint_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def remove_command(endpoint_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Delete it: what it is owed is canceled."""
    service = service_of(url)

    def remove(endpoint_id: str) -> None:
        service.call("DELETE", path_of("endpoints", endpoint_id))
        if as_json:
            print_json({"id": endpoint_id, "deleted": True})
        else:
            click.echo(printable(f"{endpoint_id} deleted"))

    for_each(endpoint_ids, remove)


@endpoints_group.command("enable")
@click.argument("endpoint_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def enable_command(endpoint_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Send to it again, what has waited too."""
    _switch("enable", endpoint_ids, url=url, as_json=as_json)


@endpoints_group.command("disable")
@click.argument("endpoint_ids", metavar="ID…", nargs=-1, required=True)
@with_service
@with_json
def disable_command(endpoint_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    """Send nothing to it; what it is owed waits, up to 30 days."""
    _switch("disable", endpoint_ids, url=url, as_json=as_json)


@endpoints_group.command("ping")
@click.argument("endpoint_id", metavar="ID")
@with_service
@with_json
def ping_command(endpoint_id: str, *, url: str | None, as_json: bool) -> None:
    """Send it a ping, once; `deliveries show` tells what came of it."""
    sent = members(service_of(url).call("POST", path_of("endpoints", endpoint_id, "ping")))
    if as_json:
        print_json(sent)
    else:
        click.echo(printable(f"{sent.get('id')} {sent.get('status')} to {sent.get('url')}"))


@endpoints_group.command("rotate-secret")
@click.argument("endpoint_id", metavar="ID")
@with_overlap("old secrets")
@with_service
@with_json
def rotate_command(endpoint_id: str, *, overlap: int, url: str | None, as_json: bool) -> None:
    """Give it a new signing secret, printed this once."""
    path = path_of("endpoints", endpoint_id, "rotate-secret")
    asked = encode({"overlapSeconds": overlap})
    made = members(service_of(url).call("POST", path, body=asked))
    if as_json:
        print_json(made)
        return
    click.echo(printable(f"secret  {made.get('secret')}  (shown this once)"))
    click.echo(printable(f"the others sign until {made.get('othersSignUntil')}"))


def _switch(verb: str, endpoint_ids: tuple[str, ...], *, url: str | None, as_json: bool) -> None:
    service = service_of(url)

    def switch(endpoint_id: str) -> None:
        found = members(service.call("POST", path_of("endpoints", endpoint_id, verb)))
        _tell(found, as_json=as_json)

    for_each(endpoint_ids, switch)


def _tell(endpoint: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(endpoint)
    else:
        click.echo(_line(endpoint))


def _wished(
    *, events: tuple[str, ...], headers: tuple[str, ...], schedule: str | None
) -> dict[str, Any]:
    """The members of a body that the options name."""
    wished: dict[str, Any] = {}
    if events:
        wished["events"] = list(events)
    if headers:
        wished["headers"] = parse_headers(headers)
    if schedule is not None:
        wished["schedule"] = None if schedule == "default" else parse_schedule(schedule).seconds
    return wished


def _line(endpoint: dict[str, Any]) -> str:
    status = endpoint.get("status")
    if endpoint.get("disabledReason"):
        status = f"{status} ({endpoint['disabledReason']})"
    events = ",".join(map(str, endpoint.get("events") or ()))
    words = (endpoint.get("id"), status, events, endpoint.get("url"))
    return printable(" ".join(map(str, words)))
