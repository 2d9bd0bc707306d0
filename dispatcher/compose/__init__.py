"""The only wiring: settings become adapters, adapters and engine become a running service."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Final

import uvloop
from aiohttp import web
from msgspec import Struct

from dispatcher.adapters.logs import LogObserver, configure_logging
from dispatcher.adapters.metrics import Metrics
from dispatcher.adapters.observers import observing
from dispatcher.adapters.open_files import raise_open_files
from dispatcher.adapters.runners.bulk import serve_bulk
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.runners.watch import LoopWatch
from dispatcher.adapters.sender import AiohttpSender
from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.adapters.timers import LoopTimers
from dispatcher.compose.parts import (
    DISTRIBUTION,
    bulk_of,
    engine_of,
    runners_of,
    sender_terms,
    served_types,
    services_of,
    waiters_of,
)
from dispatcher.core.errors import SettingsError
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.estimates import Estimates
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import System
from dispatcher.ports.observer import Observer
from dispatcher.settings import Settings
from dispatcher.stores import open_store, open_vault_of, serve_lock
from dispatcher.web.app import make_app
from dispatcher.web.server import EdgeRunner
from dispatcher.web.services import Services

BACKLOG: Final = 1024
EXIT_UNFINISHED: Final = 1


class Running(Struct, frozen=True):
    """A service that runs: where it is, what it does, and its engine.

    `url` is the public one, `local_url` where it listens.
    """

    url: str
    types: tuple[str, ...]
    engine: Engine
    services: Services
    local_url: str


def bind(settings: Settings) -> socket.socket:
    """Take the port before anything else is touched; raises `SettingsError` if it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        what_to_do = "stop what uses it, or choose another with --port (0 takes a free one)"
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            what_to_do = "choose an address of this machine with --host (0.0.0.0 takes all)"
        raise SettingsError(
            f"can't listen on {settings.host} port {settings.port} ({error.strerror}): {what_to_do}"
        ) from None
    return listening


@asynccontextmanager
async def service(
    settings: Settings, app: Dispatcher | None, listening: socket.socket, observer: Observer
) -> AsyncIterator[Running]:
    """Everything put together and started. At the end it is drained within the grace."""
    port = listening.getsockname()[1]
    url, local_url = settings.links_base(port), settings.local_url(port)
    catalog = Catalog(served_types(settings, app))
    metrics = Metrics(catalog.all(), version=version(DISTRIBUTION))
    estimates = Estimates()
    timers = LoopTimers()
    waiters = waiters_of(settings, timers)
    spans = version(DISTRIBUTION) if settings.otel else None
    with serve_lock(settings):
        async with (
            observing(spans, metrics, estimates, observer, waiters) as told,
            open_store(settings, url, on_commit=metrics.committed) as store,
        ):
            system = System(SystemClock(), timers, SystemRandom(), Uuid7Ids(), told)
            vault = await open_vault_of(settings, store, system.random)
            await store.put_types(catalog.all())
            sender = AiohttpSender(settings.policy, sender_terms(settings), clock=system.clock)
            children = Children()
            runners = runners_of(settings, app, children, store, vault, system)
            engine = engine_of(settings, runners, sender, store, vault, system)
            serve_bulk(runners.values(), bulk_of(engine, settings, store, catalog, system))
            services = await services_of(
                settings,
                engine,
                store,
                vault,
                system,
                url=url,
                catalog=catalog,
                metrics=metrics,
                estimates=estimates,
                waiters=waiters,
            )
            await engine.start(alone=settings.on_sqlite)
            edge = EdgeRunner(make_app(services), system.ids, grace_seconds=settings.grace_seconds)
            await edge.setup()
            watching = asyncio.create_task(waiters.watch(store, told))
            watch = LoopWatch()
            try:
                watch.start()
                await web.SockSite(edge, listening, backlog=BACKLOG).start()
                yield Running(
                    url, tuple(k.name for k in catalog.all()), engine, services, local_url
                )
            finally:
                await engine.stop()
                watch.stop()
                await children.close()
                await edge.cleanup()
                watching.cancel()
                await sender.close()


def serve(
    settings: Settings,
    app: Dispatcher | None,
    *,
    announce: Callable[[str], None],
    greet: Callable[[Settings, Running], str],
) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    `announce` is given what a person should read, `greet` writes what is said at the start. Answers
    the exit status. Raises `SettingsError`, `StoreError`, `SecretsUnreadable` if it can't start.
    """
    end_logging = configure_logging(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            stuck = runner.run(_serve(settings, app, announce, greet))
            if stuck:
                announce(
                    "Something did not end within the grace: a handler that does not stop, or a "
                    "store that does not answer. What is unfinished is taken up at the next start; "
                    "this process exits now."
                )
                end_logging()
                os._exit(EXIT_UNFINISHED)  # its thread would keep an ordinary exit waiting
        return 0
    finally:
        end_logging()


async def _serve(
    settings: Settings,
    app: Dispatcher | None,
    announce: Callable[[str], None],
    greet: Callable[[Settings, Running], str],
) -> bool:
    raise_open_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(EXIT_UNFINISHED)
        stop.set()
        with suppress(OSError):  # nobody may be left to read it
            announce(f"Stopping: what is in flight has {settings.grace_seconds:g} s to finish.")

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal)
    with bind(settings) as listening:
        async with service(settings, app, listening, LogObserver()) as running:
            _tune_collector()
            announce(greet(settings, running))
            await stop.wait()
    return running.engine.stuck


def _tune_collector() -> None:
    """Leave what is there for good out of garbage collection, and collect less often.

    A job makes some hundred objects that reference counting frees; looking for cycles among them
    every 700 costs some 8 % of the time of a busy service, and finds next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
