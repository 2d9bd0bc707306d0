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
from dispatcher.adapters.metrics import InFlight, Metrics, MetricsPage
from dispatcher.adapters.observers import observing
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.declared import declared_runners, job_type
from dispatcher.adapters.runners.echo import EchoRunner
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.runners.watch import LoopWatch
from dispatcher.adapters.secrets import open_vault
from dispatcher.adapters.sender import AiohttpSender, SenderTerms
from dispatcher.adapters.sqlite import ServeLock, SqliteStore
from dispatcher.adapters.sqlite.writer import CommitTold, tell_nobody
from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.adapters.timers import LoopTimers
from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import ApiKey, Caller, JobType, Role
from dispatcher.core.signature import parse_secret
from dispatcher.engine.callers import Callers, new_api_key
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.estimates import Estimates
from dispatcher.engine.rates import Rates
from dispatcher.engine.signer import Signer
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.observer import Observer
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault
from dispatcher.settings import Settings
from dispatcher.web.app import make_app
from dispatcher.web.schemas import Schemas
from dispatcher.web.server import EdgeRunner
from dispatcher.web.services import DevMode, Services

DEV_SECRET: Final = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # fixed and documented
DEV_CALLER_ID: Final = "clr_00000000000070008000000000000de0"
DISTRIBUTION: Final = "callback-dispatcher"
BACKLOG: Final = 1024
LOCK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 10.0
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


@asynccontextmanager
async def open_store(
    settings: Settings,
    links_base: str | None = None,
    *,
    patient: bool = False,
    on_commit: CommitTold = tell_nobody,
) -> AsyncIterator[Store]:
    """The store that the settings name, open; raises `StoreError`.

    `patient`: wait for a busy service beside us to let go of the database, as commands can afford.
    `on_commit` is told of each commit, in the thread that makes it.
    """
    store = SqliteStore(
        settings.database,
        clock=SystemClock(),
        ids=Uuid7Ids(),
        links_base=settings.links_base() if links_base is None else links_base,
        dead_kept_seconds=settings.dead_kept_seconds,
        audit_kept_seconds=settings.audit_kept_seconds,
        lock_seconds=PATIENCE_SECONDS if patient else LOCK_SECONDS,
        on_commit=on_commit,
    )
    await store.open()
    try:
        yield store
    finally:
        await store.close()


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
    catalog = Catalog(_types(settings, app))
    metrics = Metrics(catalog.all(), version=version(DISTRIBUTION))
    estimates = Estimates()
    spans = version(DISTRIBUTION) if settings.otel else None
    with ServeLock(settings.database):
        async with (
            observing(spans, metrics, estimates, observer) as told,
            open_store(settings, url, on_commit=metrics.committed) as store,
        ):
            system = System(SystemClock(), LoopTimers(), SystemRandom(), Uuid7Ids(), told)
            vault = await _vault(settings, store, system)
            await store.put_types(catalog.all())
            sender = AiohttpSender(settings.policy, _sender_terms(settings), clock=system.clock)
            children = Children()
            runners = _runners(settings, app, children, store, vault, system)
            engine = _engine(settings, runners, sender, store, vault, system)
            services = Services(
                accept=engine.accept,
                cancel=engine.cancel,
                redeliver=engine.redeliver,
                cancel_delivery=engine.cancel_delivery,
                endpoints=engine.endpoints,
                destinations=engine.destinations,
                callers=Callers(store, vault, system.clock, system.ids, system.random, told),
                rates=Rates(settings.limits_in_force.of_a_caller, system.clock, told),
                store=store,
                catalog=catalog,
                vault=vault,
                clock=system.clock,
                ids=system.ids,
                policy=settings.policy,
                limits=settings.limits_in_force,
                public_url=url,
                dev=await _dev_mode(store, vault, system) if settings.dev else None,
                ready=engine.ready,
                metrics=_metrics_page(metrics, store, engine, settings, system),
                metrics_open=settings.metrics_open,
                estimates=estimates,
            )
            await engine.start(alone=True)
            edge = EdgeRunner(make_app(services), system.ids, grace_seconds=settings.grace_seconds)
            await edge.setup()
            watch = LoopWatch()
            try:
                watch.start()
                await web.SockSite(edge, listening, backlog=BACKLOG).start()
                yield Running(url, tuple(runners), engine, services, local_url)
            finally:
                await engine.stop()
                watch.stop()
                await children.close()
                await edge.cleanup()
                await sender.close()


async def _vault(settings: Settings, store: Store, system: System) -> Vault:
    secret_key = None if settings.secret_key is None else settings.secret_key.reveal()
    return await open_vault(
        store, secret_key=secret_key, database=settings.database, random=system.random
    )


def _types(settings: Settings, app: Dispatcher | None) -> list[JobType]:
    """The types that are served: built in, the app's, and those that the settings declare."""
    types = [EchoRunner().type, *(() if app is None else app.types())]
    known = {each.name for each in types}
    for each in settings.types:
        if each.name in known:
            raise SettingsError(
                f"the type {each.name!r} is declared by the app and in the settings: rename one"
            )
    declared = [job_type(each) for each in settings.types]
    for own in declared:
        Schemas().check(own)
    return [*types, *declared]


def _runners(
    settings: Settings,
    app: Dispatcher | None,
    children: Children,
    store: Store,
    vault: Vault,
    system: System,
) -> dict[str, Runner]:
    """What does the jobs of each type."""
    found: dict[str, Runner] = {EchoRunner.NAME: EchoRunner()}
    found.update(() if app is None else app.runners(children))
    secrets_seconds = _engine_terms(settings).secrets_seconds
    declared = declared_runners(
        settings.types,
        children=children,
        signs=Signer(store, vault, system.clock, keep_seconds=secrets_seconds),
        clock=system.clock,
        connect_seconds=settings.connect_timeout_seconds,
        user_agent=_user_agent(),
    )
    found.update(declared)
    return found


def _engine(
    settings: Settings,
    runners: dict[str, Runner],
    sender: AiohttpSender,
    store: Store,
    vault: Vault,
    system: System,
) -> Engine:
    return Engine(
        store,
        runners,
        sender,
        vault,
        name=f"{socket.gethostname()}:{os.getpid()}",
        user_agent=_user_agent(),
        terms=_engine_terms(settings),
        system=system,
    )


def _user_agent() -> str:
    return f"dispatcher/{version(DISTRIBUTION)}"


def _metrics_page(
    metrics: Metrics, store: Store, engine: Engine, settings: Settings, system: System
) -> MetricsPage:
    return MetricsPage(
        metrics,
        store,
        jobs=InFlight(lambda: engine.jobs.running, settings.jobs_at_once),
        deliveries=InFlight(lambda: engine.deliveries.sending, settings.deliveries_at_once),
        clock=system.clock,
    )


def _engine_terms(settings: Settings) -> EngineTerms:
    return EngineTerms(
        schedule=settings.schedule,
        jobs_at_once=settings.jobs_at_once,
        deliveries_at_once=settings.deliveries_at_once,
        slots=settings.delivery_slots,
        send_seconds=settings.delivery_timeout_seconds,
        lease_seconds=settings.lease_seconds,
        grace_seconds=settings.grace_seconds,
        failing_seconds=settings.endpoint_failing_seconds,
        rate_per_second=settings.delivery_rate_per_second or None,
        breaker=BreakerTerms(
            failures=settings.breaker_failures,
            rate=settings.breaker_rate,
            first_seconds=settings.breaker_first_seconds,
            max_seconds=settings.breaker_max_seconds,
        ),
        limits=settings.limits_in_force,
        spans=settings.otel,
    )


def _sender_terms(settings: Settings) -> SenderTerms:
    return SenderTerms(
        total_seconds=settings.delivery_timeout_seconds,
        connect_seconds=settings.connect_timeout_seconds,
        # Room for all that is sent at once and as much again idle: who waits here for a connection
        # would be timed out, and count as a failed attempt.
        connections=2 * settings.deliveries_at_once,
    )


async def _dev_mode(store: Store, vault: Vault, system: System) -> DevMode:
    """The caller `dev`, with its fixed secret; made at the first start. Its key is thrown away."""
    secret = parse_secret(DEV_SECRET)
    caller = await store.find_caller(DEV_CALLER_ID)
    if caller is None:
        now = system.clock.now()
        caller = Caller(DEV_CALLER_ID, "dev", now)
        _, digest = new_api_key(system.random)
        key = ApiKey(
            id=system.ids.new("key"), caller_id=caller.id, role=Role.CALLER, created_at=now
        )
        await store.add_caller(caller, key, digest, vault.seal(secret, caller.id))
    return DevMode(caller=caller, secret=secret)


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
