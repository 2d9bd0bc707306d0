"""`dispatcher listen`: a receiver that verifies callbacks, shows them, and fails when told to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import click
import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from dispatcher.client import ReceivedEvent, VerificationError, verify
from dispatcher.core.payload import rfc3339
from dispatcher.core.signature import parse_secret

# The secret with which `dispatcher serve --dev` signs: fixed and documented, so not a secret.
DEV_SECRET: Final = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # see above

_BODY_BYTES: Final = 4 * 2**20
_KEPT_IDS: Final = 10_000
_SHOWN_CHARACTERS: Final = 2_000
_STATUSES: Final = range(200, 600)


class Seen(Struct, frozen=True, kw_only=True, rename="camel"):
    """One callback as it came, and what was answered: a line of `--jsonl`.

    `seen` counts how often this `webhook-id` has come, `attempt` is what the sender says;
    `reason` says why it was not verified.
    """

    at: str | None
    path: str
    verified: bool
    reason: str | None
    id: str | None
    type: str | None
    attempt: int | None
    seen: int
    job_id: str | None
    correlation_id: str | None
    status: int
    body: Raw


class Listener:
    """Verifies what is POSTed to it, has it shown, and answers as it was told.

    Args:
        secrets: of which one must have signed.
        respond: the status of the first answer to a callback, the second…; the last one repeats.
        delay_seconds: waits so long before it answers.
        show: is given each callback, with its event if it was verified.
    """

    def __init__(
        self,
        *,
        secrets: tuple[str, ...],
        respond: tuple[int, ...],
        delay_seconds: float,
        show: Callable[[Seen, ReceivedEvent | None], None],
    ) -> None:
        self._secrets = secrets
        self._respond = respond
        self._delay_seconds = delay_seconds
        self._show = show
        self._counts: dict[str, int] = {}
        self.stopped = asyncio.Event()

    def app(self) -> web.Application:
        """The application: any path takes a POST."""
        app = web.Application(client_max_size=_BODY_BYTES)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        now = time.time_ns() // 1_000_000
        event = reason = None
        try:
            event = verify(self._secrets, request.headers, body, now=now)
        except VerificationError as error:
            reason = f"{error.reason}: {error}"
        count = 0 if event is None else self._count(event.id)
        status = HTTPStatus.UNAUTHORIZED.value
        if event is not None:
            status = self._respond[min(count, len(self._respond)) - 1]
        attempt = request.headers.get("callback-attempt", "")
        seen = Seen(
            at=rfc3339(now),
            path=request.path_qs,
            verified=event is not None,
            reason=reason,
            id=request.headers.get("webhook-id"),
            type=None if event is None else event.type,
            attempt=int(attempt) if attempt.isdecimal() and len(attempt) < 10 else None,  # noqa: PLR2004  # no attempt has a number that long
            seen=count,
            job_id=None if event is None else _job_id(event),
            correlation_id=request.headers.get("correlation-id"),
            status=status,
            body=_json_of(body),
        )
        try:
            self._show(seen, event)
        except BrokenPipeError:  # whoever read has gone, as in `listen --jsonl | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.stopped.set()
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        return web.Response(status=status, text="" if reason is None else f"{reason}\n")

    def _count(self, id: str) -> int:  # noqa: A002  # the field's own word
        count = self._counts.pop(id, 0) + 1
        while len(self._counts) >= _KEPT_IDS:
            del self._counts[next(iter(self._counts))]
        self._counts[id] = count
        return count


def _job_id(event: ReceivedEvent) -> str | None:
    found = event.data.get("id")
    return found if isinstance(found, str) and event.type.startswith("job.") else None


def _json_of(body: bytes) -> Raw:
    """The body if it is JSON, else its text as a JSON string."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Raw(msgspec.json.encode(body.decode("utf-8", "replace")))
    return Raw(body)


# --- Showing -----------------------------------------------------------------------------------


def show_line(seen: Seen, _: ReceivedEvent | None) -> None:
    """A line of JSON."""
    print(_one_line(msgspec.json.encode(seen)), flush=True)


def _one_line(encoded: bytes) -> str:
    # A body may have line breaks between its members; none can stand within a JSON string.
    return encoded.decode().replace("\r", " ").replace("\n", " ")


def show_people(seen: Seen, event: ReceivedEvent | None) -> None:
    """A few lines to read."""
    clock = (seen.at or "")[11:19]
    if event is None:
        mark = click.style("NOT VERIFIED", fg="red", bold=True)
        click.echo(f"{clock}  {mark}  POST {_plain(seen.path)}  answered {seen.status}")
        click.echo(f"          {_plain(seen.reason or '')}\n")
        return
    mark = click.style("verified", fg="green")
    colour = "green" if seen.status < HTTPStatus.MULTIPLE_CHOICES else "yellow"
    answered = click.style(f"answered {seen.status}", fg=colour)
    again = "" if seen.seen == 1 else f", come {seen.seen} times"
    attempt = "" if seen.attempt is None else f"  attempt {seen.attempt}"
    click.echo(
        f"{clock}  {click.style(_plain(event.type), bold=True)}  {mark}{attempt}  {answered}"
    )
    click.echo(f"          {_plain(event.id)}{again}")
    for line in _facts(event.data):
        click.echo(f"          {line}")
    click.echo()


def _facts(data: dict[str, Any]) -> list[str]:
    about = " ".join(_plain(str(data[key])) for key in ("id", "type", "status") if data.get(key))
    lines = [about] if about else []
    for key in ("correlationId", "result", "error", "progress", "output"):
        if data.get(key) is not None:
            shown = _plain(msgspec.json.encode(data[key]).decode())
            lines.append(f"{key}: {shown}")
    return lines


def _plain(text: str) -> str:
    """Printable, so that what a stranger sends can't steer the terminal; cut if it is long."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


# --- The command -------------------------------------------------------------------------------


def _parse_respond(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    statuses = [int(part) for part in parts if part.isdecimal() and int(part) in _STATUSES]
    if len(statuses) != len(parts):
        raise click.BadParameter("write statuses from 200 to 599, such as 500,500,200")
    return tuple(statuses)


def _parse_secrets(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    for text in texts:
        try:
            parse_secret(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return texts or (DEV_SECRET,)


@click.command("listen")
@click.option("--port", type=click.IntRange(0, 65_535), default=9_000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="WHSEC",
    callback=_parse_secrets,
    help="The caller's signing secret, as `callers create` printed it; may be repeated. "
    "Default: the one of `serve --dev`.",
)
@click.option(
    "--respond",
    default="200",
    show_default=True,
    metavar="STATUSES",
    callback=_parse_respond,
    help="What to answer to a callback when it comes the first time, the second time and so on "
    "(told apart by its webhook-id); the last one repeats. 500,500,200 fails twice. What does not "
    "verify is answered 401.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 3_600),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long before each answer.",
)
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for each callback.")
def listen_command(
    port: int,
    host: str,
    secrets: tuple[str, ...],
    respond: tuple[int, ...],
    delay: float,
    jsonl: bool,
) -> None:
    """Receive callbacks, verify and show them, and fail on demand. Ctrl-C ends it."""
    listener = Listener(
        secrets=secrets,
        respond=respond,
        delay_seconds=delay,
        show=show_line if jsonl else show_people,
    )
    try:
        asyncio.run(_listen(listener, host, port, _introduce(secrets, respond, jsonl=jsonl)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"Port {port} of {host} is in use; give another with --port (0: any free one)."
            ) from None
        raise click.ClickException(f"Can't listen on {host}:{port}: {error.strerror}") from None


def _introduce(
    secrets: tuple[str, ...], respond: tuple[int, ...], *, jsonl: bool
) -> Callable[[str], None]:
    signer = "the secret of --dev" if secrets == (DEV_SECRET,) else "the secret given"
    answers = ", then ".join(str(status) for status in respond)
    with_dev = DEV_SECRET in secrets  # what --dev sends does not verify with another

    def introduce(url: str) -> None:
        # With --jsonl standard output is for the callbacks alone.
        click.echo(
            f"Listening on {url} (any path); signatures are checked with {signer}.\n"
            f"Each callback is answered {answers}. Ctrl-C ends it.",
            err=jsonl,
        )
        if with_dev:
            click.echo(
                "Try it, with `dispatcher serve --dev` running:\n"
                "  dispatcher submit dispatcher.echo "
                f'\'{{"hello": "world"}}\' --callback {url}hook',
                err=jsonl,
            )
        click.echo(err=jsonl)

    return introduce


async def _listen(
    listener: Listener, host: str, port: int, introduce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises there
            loop.add_signal_handler(number, listener.stopped.set)
    # Whoever sends what is not HTTP is told so; a traceback of it here says nothing of callbacks.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    runner = web.AppRunner(listener.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        introduce(f"http://{shown}:{bound}/")
        sys.stdout.flush()
        await listener.stopped.wait()
    finally:
        await runner.cleanup()
