"""The wiring of what serves: settings become adapters, adapters and engine a running service.

Commands that open the store themselves, beside a service, take theirs from `dispatcher.stores`.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Final

import uvloop
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from dispatcher.adapters.forks import kept_from_forks
from dispatcher.adapters.logs import LogObserver, configure_logging
from dispatcher.adapters.open_files import raise_open_files
from dispatcher.adapters.runners.bulk import serve_bulk
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.runners.watch import LoopWatch
from dispatcher.adapters.system import StoreTime, SystemClock, SystemRandom, Uuid7Ids
from dispatcher.adapters.timers import LoopTimers
from dispatcher.compose.ending import EXIT_UNFINISHED, Ending
from dispatcher.compose.nodes import (
    cancel,
    edge_of,
    forgetting,
    hearing_of,
    hearing_others,
    keeping_time,
    side_of,
)
from dispatcher.compose.parts import (
    bulk_of,
    engine_of,
    engine_terms,
    runners_of,
    seeing_of,
    sender_of,
    served_types,
    services_of,
)
from dispatcher.compose.processes import Child, Supervisor
from dispatcher.core.errors import SettingsError
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.signer import Signer
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import System
from dispatcher.ports.observer import Observer
from dispatcher.settings import Settings
from dispatcher.stores import open_store, open_vault_of, serve_lock
from dispatcher.web.auth import Keys
from dispatcher.web.services import Services

BACKLOG: Final = 1024


class Running(Struct, frozen=True):
    """A service that runs: where it is, what it does, and its engine.

    `url` is the public one, `local_url` where it listens.
    """

    url: str
    types: tuple[str, ...]
    engine: Engine
    services: Services
    local_url: str


def bind(settings: Settings, number: int = 0, *, shared: bool = False) -> socket.socket:
    """Take the port before anything else is touched; raises `SettingsError` if it is taken.

    `number`: that for the metrics of the child with this number, in place of the service's own.
    `shared`: with the other processes of this service.
    """
    port = settings.metrics_port + number - 1 if number else settings.port
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((settings.host, port))
    except OSError as error:
        listening.close()
        own = "another with --port (0 takes a free one)"
        another = "others by metrics_port" if number else own
        what_to_do = f"stop what uses it, or choose {another}"
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            what_to_do = "choose an address of this machine with --host (0.0.0.0 takes all)"
        raise SettingsError(
            f"can't listen on {settings.host} port {port} ({error.strerror}): {what_to_do}"
        ) from None
    return listening


@asynccontextmanager
async def service(
    settings: Settings,
    app: Dispatcher | None,
    listening: socket.socket,
    observer: Observer,
    *,
    own: socket.socket | None = None,
) -> AsyncIterator[Running]:
    """Everything put together and started. At the end it is drained within the grace.

    `own`: where this process alone says how it is, beside a port that it shares.
    """
    port = listening.getsockname()[1]
    url, local_url = settings.links_base(port), settings.local_url(port)
    catalog = Catalog(served_types(settings, app))
    terms = engine_terms(settings, catalog.all())
    time, timers, ids = StoreTime(), LoopTimers(), Uuid7Ids()
    clock = SystemClock() if settings.on_sqlite else SystemClock(time.time_ns)
    async with AsyncExitStack() as opened:
        opened.enter_context(serve_lock(settings))
        seeing = await seeing_of(opened, settings, catalog, terms, clock, timers, observer)
        store = await opened.enter_async_context(
            open_store(settings, url, clock=clock, ids=ids, on_commit=seeing.metrics.committed)
        )
        system = System(clock, timers, SystemRandom(), ids, seeing.told)
        if not settings.on_sqlite:
            await opened.enter_async_context(keeping_time(store, time, system))
        vault = await open_vault_of(settings, store, system.random)
        await store.put_types(catalog.all())
        sender = await sender_of(settings, system)
        opened.push_async_callback(sender.close)
        children = Children()
        signer = Signer(store, vault, clock, keep_seconds=terms.secrets_seconds)
        runners = runners_of(settings, app, children, signer, system)
        engine = engine_of(settings, terms, runners, sender, store, vault, system)
        serve_bulk(runners.values(), bulk_of(engine, terms, store, catalog, system))
        services = await services_of(settings, engine, store, vault, system, url, catalog, seeing)
        keys = Keys(store, clock, services.dev)
        forget = forgetting(engine, keys, services, signer)
        services.callers.on_change = forget
        if not settings.on_sqlite:
            hearing = hearing_of(settings, engine, services, runners, store, timers, forget)
            await opened.enter_async_context(hearing_others(seeing.hints, hearing, settings))
        edge = await edge_of(opened, settings, services, keys)
        side = None if own is None else await side_of(opened, settings, services, keys)
        opened.push_async_callback(
            cancel, asyncio.create_task(seeing.waiters.watch(store, seeing.told))
        )
        opened.push_async_callback(children.close)
        watch = LoopWatch()
        opened.callback(watch.stop)
        await engine.start(alone=settings.on_sqlite)
        opened.push_async_callback(engine.stop)
        watch.start()
        await web.SockSite(edge, listening, backlog=BACKLOG).start()
        if side is not None and own is not None:
            await web.SockSite(side, own).start()
        yield Running(url, tuple(k.name for k in catalog.all()), engine, services, local_url)


def serve(
    settings: Settings,
    app: Dispatcher | None,
    *,
    announce: Callable[[str], None],
    greet: Callable[[Settings, Running], str],
    child: Child | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    `announce` is given what a person should read, `greet` writes what is said at the start; a
    `child` of `serve_many` has its parent say it. Answers the exit status. Raises `SettingsError`,
    `StoreError`, `SecretsUnreadable` if it can't start.
    """
    process = None if child is None else child.number
    announce = announce if child is None else child.say
    end_logging = configure_logging(settings.log_level, settings.log_format, process=process)
    ending = Ending(announce, end_logging)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if runner.run(_serve(settings, app, announce, greet, child, ending)):
                ending.unfinished()
        ending.finished()
        return 0
    finally:
        ending.done()
        end_logging()


async def _serve(
    settings: Settings,
    app: Dispatcher | None,
    announce: Callable[[str], None],
    greet: Callable[[Settings, Running], str],
    child: Child | None,
    ending: Ending,
) -> bool:
    raise_open_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            if child is None:
                os._exit(EXIT_UNFINISHED)
            return  # it reached the whole group and was passed on, too: the parent ends who is late
        stop.set()
        said = f"Stopping: what is in flight has {settings.grace_seconds:g} s to finish."
        # Of a child its parent says so, once for all.
        ending.begun(settings.grace_seconds, said if child is None else None)

    def on_orphaned() -> None:
        loop.remove_reader(child.life if child else -1)
        stop.set()
        ending.begun(settings.grace_seconds)

    loop.add_signal_handler(signal.SIGTERM, on_signal)
    if child is None:
        loop.add_signal_handler(signal.SIGINT, on_signal)
    else:  # Ctrl-C reaches every process: the parent passes it on
        loop.add_reader(child.life, on_orphaned)
    with ExitStack() as bound:
        listening = bound.enter_context(bind(settings, shared=child is not None))
        bound.enter_context(kept_from_forks(listening.fileno()))
        own = None
        if child is not None and settings.metrics_port:
            own = bound.enter_context(bind(settings, child.number))
            bound.enter_context(kept_from_forks(own.fileno()))
        async with service(settings, app, listening, LogObserver(), own=own) as running:
            _tune_collector()
            greeting = greet(settings, running)
            announce(greeting) if child is None else child.ready(greeting)
            await stop.wait()
    return running.engine.stuck


def serve_many(
    settings: Settings,
    load: Callable[[], Dispatcher | None],
    *,
    announce: Callable[[str], None],
    greet: Callable[[Settings, Running], str],
) -> int:
    """As `serve`, in as many processes as the settings say, behind one port.

    `load` gives the app; it is called in each process. SIGTERM and SIGINT are passed on to all, and
    all have the grace.
    """
    bind(settings).close()  # whoever else listens there would share it
    with bind(settings, shared=True) as reserved:  # it does not listen: nothing comes to it
        settings = replace(settings, port=reserved.getsockname()[1])
        supervisor = Supervisor(
            settings.processes, grace_seconds=settings.grace_seconds, announce=announce
        )
        outcome = supervisor.run()
        if isinstance(outcome, int):
            return outcome
        return serve(settings, load(), announce=announce, greet=greet, child=outcome)


def _tune_collector() -> None:
    """Leave what is there for good out of garbage collection, and collect less often.

    A job makes some hundred objects that reference counting frees; looking for cycles among them
    every 700 costs some 8 % of the time of a busy service, and finds next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
