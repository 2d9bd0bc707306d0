"""`dispatcher serve`: settings and app, handed to what wires the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from dispatcher import compose
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.load import load_app
from dispatcher.cli.greeting import greeting
from dispatcher.cli.options import described, settings_of, with_config, with_json
from dispatcher.settings import Settings


@click.command("serve")
@click.argument("app", required=False, metavar="[MODULE:APP | FILE.PY]")
@with_config
@click.option("--host", help=described("host"))
@click.option("--port", type=int, help=described("port"))
@click.option("--store", metavar="URL", help=described("store"))
@click.option("--dev", is_flag=True, default=None, help=described("dev"))
@click.option("--public-url", metavar="URL", help=described("public_url"))
@click.option(
    "--allow-callbacks",
    multiple=True,
    metavar="ORIGIN|CIDR",
    help=described("allow_callbacks") + " May be repeated.",
)
@click.option("--role", help=described("role"))
@click.option("--processes", type=int, help=described("processes"))
@with_json
@click.pass_context
def serve_command(
    ctx: click.Context, /, app: str | None, config: Path | None, as_json: bool, **flags: object
) -> None:
    """Run the service: its own types, and those of an app.

    APP is a module and the name of a Dispatcher in it (shop.jobs:app), or a file with one in it
    (jobs.py). Every other setting stands in dispatcher.toml or in the environment
    (docs/reference/settings.md).

    Ends with SIGTERM or Ctrl-C, once what is in flight is done.
    """
    if as_json:
        flags["log_format"] = "json"
    settings = settings_of(flags, config).settings
    announce, greet = (_announce_json, _greet_json) if as_json else (_announce, _greet)

    def load() -> Dispatcher | None:
        return None if app is None else load_app(app)

    if settings.processes > 1:
        ctx.exit(compose.serve_many(settings, load, announce=announce, greet=greet))
    ctx.exit(compose.serve(settings, load(), announce=announce, greet=greet))


def _announce(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # whoever read has gone, as in `serve | head`; the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _greet(settings: Settings, running: compose.Running) -> str:
    return greeting(settings, running.url, running.types, running.local_url)


def _announce_json(text: str) -> None:
    if text.startswith("{"):  # the greeting
        _announce(text)
    else:
        _announce(msgspec.json.encode({"event": "message", "text": text}).decode())


def _greet_json(settings: Settings, running: compose.Running) -> str:
    told = {
        "event": "serving",
        "url": running.url,
        "listens": running.local_url,
        "dev": settings.dev,
        "store": settings.store_shown,
        "types": running.types,
    }
    return msgspec.json.encode(told).decode()
