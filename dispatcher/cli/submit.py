"""`dispatcher submit`: a caller's first steps, over HTTP."""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path
from typing import Any

import click
import msgspec

from dispatcher.cli.calling import printable, service_of, with_service
from dispatcher.cli.options import (
    parse_headers,
    parse_pairs,
    parse_schedule,
    print_json,
    with_json,
)
from dispatcher.cli.submitting import result_of, submit_job, wait_for_job
from dispatcher.core.errors import DispatcherError


class JobEndedBadly(DispatcherError):
    """The job that was waited for has ended, and not well."""


@click.command("submit")
@click.argument("type_", metavar="TYPE")
@click.argument("input_", metavar="JSON")
@click.option("--callback", "callback_url", metavar="URL", help="Where its callbacks go.")
@click.option("--event", "events", multiple=True, help="An event to call back for. Repeatable.")
@click.option("--thin", is_flag=True, help="Leave the result out of callbacks.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with them.")
@click.option("--schedule", metavar="S,S,…", help="Seconds before each attempt: 0,5,300")
@click.option("--ordered", is_flag=True, help="Send those of one orderingKey one at a time.")
@click.option(
    "--on-dead", type=click.Choice(["skip", "block"]), help="With it: what a dead one does."
)
@click.option("--queue")
@click.option("--priority", type=int, help="0 to 9, higher first.")
@click.option("--delay", "delaySeconds", type=float, metavar="SECONDS", help="Begin this late.")
@click.option("--run-at", "runAt", metavar="TIME", help="Begin then: 2026-01-31T09:30:00Z")
@click.option("--start-by", "startBy", metavar="TIME", help="Not begun by then, it expires.")
@click.option("--deadline", metavar="TIME", help="Not done by then, it expires.")
@click.option("--timeout", "timeoutSeconds", type=float, metavar="SECONDS", help="For an attempt.")
@click.option("--max-attempts", "maxAttempts", type=int)
@click.option(
    "--retention", "retentionSeconds", type=float, metavar="SECONDS", help="Kept so long."
)
@click.option("--ordering-key", "orderingKey", help="One after another with the same key.")
@click.option("--correlation-id", "correlationId", help="Echoed everywhere.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="Kept with it. Repeatable.")
@click.option("--idempotency-key", "key", help="The same key never makes a second job.")
@click.option("--wait", is_flag=True, help="Wait until it is done, and print the result.")
@with_service
@with_json
def submit_command(
    type_: str,
    input_: str,
    *,
    key: str | None,
    wait: bool,
    url: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Submit a job to a running service.

    JSON is the job's input: JSON itself, @FILE, or - for standard input. The API key is taken from
    DISPATCHER_API_KEY. With --wait the exit code is 1 if the job did not succeed.
    """
    service = service_of(url)
    body = msgspec.json.encode(submission(type_, _input(input_), **fields))
    # An empty key is sent, and refused: it is a variable that was not set, no wish for two jobs.
    own = str(uuid.uuid4()) if key is None else key
    job = submit_job(service, body, own, sleep=time.sleep)
    if not as_json:
        print(f"{job['id']} {job['status']}", file=sys.stderr if wait else sys.stdout)
    if wait:
        job = wait_for_job(
            service, job, sleep=time.sleep, saw=_Teller(quiet=as_json, told=job["status"]).saw
        )
    if as_json:
        print_json(job)
    elif wait and job["status"] == "succeeded":
        sys.stdout.buffer.write(result_of(service, job, sleep=time.sleep) + b"\n")
        sys.stdout.flush()
    elif not wait:
        print(job.get("links", {}).get("self", ""))
    if wait and job["status"] != "succeeded":
        raise JobEndedBadly(_ending(job))


def submission(
    type_: str,
    input_: bytes,
    *,
    callback_url: str | None = None,
    events: tuple[str, ...] = (),
    thin: bool = False,
    headers: tuple[str, ...] = (),
    schedule: str | None = None,
    ordered: bool = False,
    on_dead: str | None = None,
    metadata: tuple[str, ...] = (),
    **fields: Any,
) -> dict[str, Any]:
    """The body of `POST /v1/jobs`; what was not given is left out, so that defaults hold."""
    callback: dict[str, Any] = {}
    if events:
        callback["events"] = events
    if thin:
        callback["mode"] = "thin"
    if headers:
        callback["headers"] = parse_headers(headers)
    if schedule is not None:
        callback["schedule"] = parse_schedule(schedule).seconds
    if ordered:
        callback["ordered"] = True
    if on_dead is not None:
        callback["onDead"] = on_dead
    if callback and callback_url is None:
        raise click.UsageError(
            "--event, --thin, --header, --schedule, --ordered and --on-dead are about callbacks: "
            "give --callback too"
        )
    body: dict[str, Any] = {
        "type": type_,
        "input": msgspec.Raw(input_),
        "callbackUrl": callback_url,
        "callback": callback or None,
        "metadata": parse_pairs("--metadata", metadata, "=") or None,
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}


def _input(text: str) -> bytes:
    try:
        if text == "-":
            raw = sys.stdin.buffer.read()
        elif text.startswith("@"):
            raw = Path(text[1:]).read_bytes()
        else:
            raw = text.encode()
    except OSError as error:
        raise click.UsageError(f"{text[1:]} can't be read: {error.strerror}") from None
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError) as error:  # UnicodeError is a ValueError
        raise click.UsageError(f"the input is not JSON: {error} (a text needs quotes)") from None
    return raw


class _Teller:
    """Tells on standard error how the job gets on: each status and progress once."""

    def __init__(self, *, quiet: bool, told: str) -> None:
        self._quiet = quiet
        self._told = told

    def saw(self, job: dict[str, Any]) -> None:
        line = str(job["status"])
        if progress := job.get("progress"):
            line += f" {progress['current']:g}"
            if progress.get("total") is not None:
                line += f" of {progress['total']:g}"
            if progress.get("message"):
                line += f" {progress['message']}"
        if line != self._told and not self._quiet:
            self._told = line
            print(f"{job['id']} {printable(line)}", file=sys.stderr)


def _ending(job: dict[str, Any]) -> str:
    error = job.get("error") or {}
    why = ": ".join(str(each) for each in (error.get("code"), error.get("detail")) if each)
    return printable(f"{job['id']} ended as {job['status']}{f' ({why})' if why else ''}")
