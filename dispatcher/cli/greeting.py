"""What `serve` says when it has started: what it serves, where, and how to try it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from dispatcher.core.bulk import BulkKind
from dispatcher.settings import Settings

DEFAULT_STORE = "sqlite:///dispatcher.db"


def greeting(settings: Settings, url: str, types: Sequence[str], local_url: str) -> str:
    """The lines to print.

    `url` is what links begin with, `local_url` where it listens; both with the port really bound.
    """
    lines = [
        f"Dispatcher serves {url}",
        *([] if local_url == url else [f"  listens    {local_url}"]),
        # The bulk operations are there always: they would drown what this service is for.
        f"  jobs       {', '.join(sorted(set(types) - set(BulkKind)))}",
        f"  store      {settings.store_shown}",
        *_shape(settings),
        f"  callbacks  {_callbacks(settings)}",
        "",
    ]
    lines += _dev(local_url) if settings.dev else _first_steps(settings, url)
    return "\n".join(lines)


def _shape(settings: Settings) -> list[str]:
    """What this service is of a larger one."""
    lines = [] if settings.role == "all" else [f"  role       {settings.role}"]
    if settings.processes > 1:
        ports = f"{settings.metrics_port} to {settings.metrics_port + settings.processes - 1}"
        each = f", with /metrics at the ports {ports}" if settings.metrics_port else ""
        lines.append(f"  processes  {settings.processes}{each}")
    return lines


def _callbacks(settings: Settings) -> str:
    where = ["loopback", "http and https to public addresses"]
    if not settings.dev:
        where = ["https to public addresses"]
    return "; ".join([*where, *settings.allow_callbacks])


def _dev(here: str) -> list[str]:
    job = {
        "type": "dispatcher.echo",
        "input": {"hello": "world"},
        "callbackUrl": f"{here}/dev/inbox",
    }
    body = msgspec.json.encode(job).decode()
    return [
        "DEVELOPMENT MODE: whoever reaches this port may do everything, without a key. It is for",
        "loopback only, never behind a tunnel or a proxy.",
        "",
        "Submit a job:",
        f"  curl -s {here}/v1/jobs -H 'content-type: application/json' -d {shlex.quote(body)}",
        "See its callback, with the signature verified:",
        f"  curl -s {here}/dev/inbox",
    ]


def _first_steps(settings: Settings, url: str) -> list[str]:
    store, where = "", "Make an API key, then submit a job with it:"
    if not settings.on_sqlite:  # its URL may hold a password
        where = "With the same store and secret_key make an API key, then submit a job with it:"
    elif settings.store != DEFAULT_STORE:
        store = f" --store {shlex.quote(settings.store)}"
    lines = [
        where,
        f"  dispatcher callers create NAME{store}",
        f"  DISPATCHER_URL={url} DISPATCHER_API_KEY=… \\",
        """    dispatcher submit dispatcher.echo '{"hello":"world"}' --wait""",
    ]
    if settings.public_url is None:
        lines += [
            "",
            f"Warning: public_url is not set, so links and callbacks name {url}.",
            "Set --public-url to what callers reach the service at.",
        ]
    return lines
