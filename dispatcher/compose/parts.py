"""The parts that `service` puts together, each made from the settings."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Final

from msgspec import Struct

from dispatcher.adapters.metrics import InFlight, Metrics, MetricsPage
from dispatcher.adapters.observers import Fanout, observing
from dispatcher.adapters.runners.bulk import BulkRunner
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.declared import declared_runners, job_type, remote_kinds
from dispatcher.adapters.runners.echo import EchoRunner
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.sender import AiohttpSender, NarrowSender, SenderTerms, trusted_here
from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.bulk import BulkKind
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import ApiKey, Caller, JobType, Role
from dispatcher.core.signature import parse_secret
from dispatcher.engine.bulk import Bulk
from dispatcher.engine.callers import Callers, new_api_key
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.estimates import Estimates
from dispatcher.engine.hinting import Telling
from dispatcher.engine.rates import Rates
from dispatcher.engine.signer import Signer
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import EngineTerms, Parts, System
from dispatcher.engine.waiters import Places, Waiters
from dispatcher.ports.hints import Hints
from dispatcher.ports.observer import Observer
from dispatcher.ports.records import Concurrency
from dispatcher.ports.runner import Runner
from dispatcher.ports.sender import Sender
from dispatcher.ports.store import Store
from dispatcher.ports.system import Clock, Timers
from dispatcher.ports.tokens import TokenStore
from dispatcher.ports.vault import Vault
from dispatcher.settings import CommandType, RemoteType, Settings
from dispatcher.stores import hints_of
from dispatcher.web.jwks import PublicKeys
from dispatcher.web.schemas import Schemas, replayable
from dispatcher.web.services import DevMode, Services

DEV_SECRET: Final = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # fixed and documented
DEV_CALLER_ID: Final = "clr_00000000000070008000000000000de0"
DISTRIBUTION: Final = "callback-dispatcher"


class Seeing(Struct, frozen=True):
    """Those who are told of what happens, all of them by `told`; `hints` tell other processes."""

    metrics: Metrics
    estimates: Estimates
    waiters: Waiters
    hints: Hints | None
    told: Observer


async def seeing_of(
    opened: AsyncExitStack,
    settings: Settings,
    catalog: Catalog,
    terms: EngineTerms,
    clock: Clock,
    timers: Timers,
    observer: Observer,
) -> Seeing:
    """Our own who look on, `observer`, OpenTelemetry if that is wanted, and other processes."""
    own = version(DISTRIBUTION)
    metrics, estimates = Metrics(catalog.all(), version=own), Estimates()
    waiters = waiters_of(settings, timers)
    hints = hints_of(settings, Fanout(metrics, observer))
    telling = () if hints is None else (Telling(hints, terms, clock),)
    told = await opened.enter_async_context(
        observing(own if settings.otel else None, metrics, estimates, observer, waiters, *telling)
    )
    return Seeing(metrics, estimates, waiters, hints, told)


def served_types(settings: Settings, app: Dispatcher | None) -> list[JobType]:
    """The types that are served: built in, the app's, and those that the settings declare."""
    types = [each.type for each in built_in()]
    types += () if app is None else app.types()
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


def built_in() -> list[Runner]:
    return [EchoRunner(), *(BulkRunner(kind) for kind in BulkKind)]


def runners_of(
    settings: Settings,
    app: Dispatcher | None,
    children: Children,
    signer: Signer,
    system: System,
) -> dict[str, Runner]:
    """What does the jobs of each type.

    A process that runs no jobs has them too, but for commands, whose programs it need not have: the
    sweep asks them what became of a job that was lost.
    """
    found: dict[str, Runner] = {each.type.name: each for each in built_in()}
    found.update(() if app is None else app.runners(children))
    runs = parts_of(settings).jobs
    declared = declared_runners(
        [each for each in settings.types if runs or not isinstance(each, CommandType)],
        children=children,
        signs=signer,
        clock=system.clock,
        connect_seconds=settings.connect_timeout_seconds,
        user_agent=user_agent(),
    )
    found.update(declared)
    return found


def parts_of(settings: Settings) -> Parts:
    """What this process does of the service."""
    role = settings.role
    return Parts(
        edge=role in {"all", "api"},
        jobs=role in {"all", "jobs"},
        deliveries=role in {"all", "delivery"},
    )


def engine_of(
    settings: Settings,
    terms: EngineTerms,
    runners: dict[str, Runner],
    sender: Sender,
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
        user_agent=user_agent(),
        terms=terms,
        system=system,
        remote=remote_kinds(settings.types),
        parts=parts_of(settings),
    )


def bulk_of(
    engine: Engine, terms: EngineTerms, store: Store, catalog: Catalog, system: System
) -> Bulk:
    may_replay = replayable(catalog)
    jobs, accept = engine.jobs, engine.accept
    return Bulk(store, jobs, accept, may_replay=may_replay, terms=terms.delivery, system=system)


def user_agent() -> str:
    return f"dispatcher/{version(DISTRIBUTION)}"


def metrics_page(
    metrics: Metrics,
    store: Store,
    engine: Engine,
    settings: Settings,
    system: System,
    waiters: Waiters,
) -> MetricsPage:
    return MetricsPage(
        metrics,
        store,
        jobs=InFlight(lambda: engine.jobs.running, settings.jobs_at_once),
        ending=lambda: engine.jobs.slots.leaving,
        deliveries=InFlight(lambda: engine.deliveries.sending, settings.deliveries_at_once),
        held_up=lambda: engine.deliveries.held_up,
        waits=lambda: waiters.waits.taken,
        streams=lambda: waiters.streams.taken,
        clock=system.clock,
    )


def waiters_of(settings: Settings, timers: Timers) -> Waiters:
    limits = settings.limits
    return Waiters(
        timers,
        waits=Places(limits.waits_at_once, max(limits.waits_at_once // 4, 1)),
        streams=Places(limits.streams_at_once, limits.streams_of_caller),
    )


def engine_terms(settings: Settings, types: Iterable[JobType] = ()) -> EngineTerms:
    """What the settings say; `types` are those that are served here."""
    return EngineTerms(
        schedule=settings.schedule,
        jobs_at_once=settings.jobs_at_once,
        deliveries_at_once=settings.deliveries_at_once,
        slots=settings.delivery_slots,
        send_seconds=settings.delivery_timeout_seconds,
        lease_seconds=settings.lease_seconds,
        grace_seconds=settings.grace_seconds,
        concurrency=Concurrency(
            types=_counted_types(settings, types),
            queues={each.name: each.concurrency for each in settings.queues},
        ),
        progress_seconds=settings.progress_seconds,
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


def _counted_types(settings: Settings, types: Iterable[JobType]) -> dict[str, int]:
    """The types of which the store counts how many run.

    On PostgreSQL all that have a limit. What runs here the one process that serves an SQLite file
    counts by itself, and it is spared what counting costs a claim.
    """
    remote = {each.name for each in settings.types if isinstance(each, RemoteType)}
    if settings.on_sqlite:
        types = [job_type(each) for each in settings.types if each.name in remote]
    return {each.name: each.concurrency for each in types if each.concurrency is not None}


async def sender_of(settings: Settings, system: System) -> Sender:
    """What callbacks are sent with; what it trusts is read here, so that no dial waits for it."""
    policy, terms, tls = settings.policy, sender_terms(settings), None
    if settings.sender != "narrow":  # aiohttp reads what it trusts when it is imported
        return AiohttpSender(policy, terms, system.clock)
    if parts_of(settings).deliveries:
        tls = await asyncio.to_thread(trusted_here)
    return NarrowSender(policy, terms, system.clock, tls=tls)


def sender_terms(settings: Settings) -> SenderTerms:
    return SenderTerms(
        total_seconds=settings.delivery_timeout_seconds,
        connect_seconds=settings.connect_timeout_seconds,
        # Room for all that is sent at once and as much again idle: who waits here for a connection
        # would be timed out, and count as a failed attempt.
        connections=2 * settings.deliveries_at_once,
    )


async def services_of(
    settings: Settings,
    engine: Engine,
    store: Store,
    vault: Vault,
    system: System,
    url: str,
    catalog: Catalog,
    seeing: Seeing,
) -> Services:
    """What the HTTP edge is given."""
    told, waiters = system.observer, seeing.waiters
    return Services(
        accept=engine.accept,
        cancel=engine.cancel,
        erase=engine.erase,
        redeliver=engine.redeliver,
        cancel_delivery=engine.cancel_delivery,
        queues=engine.queues,
        remote=engine.remote,
        endpoints=engine.endpoints,
        destinations=engine.destinations,
        callers=Callers(store, vault, system.clock, system.ids, system.random, told),
        rates=Rates(settings.limits_in_force.of_a_caller, system.clock, told, tokens_of(store)),
        store=store,
        catalog=catalog,
        vault=vault,
        public_keys=PublicKeys(store, system.clock),
        clock=system.clock,
        ids=system.ids,
        policy=settings.policy,
        limits=settings.limits_in_force,
        public_url=url,
        waiters=waiters,
        observer=told,
        dev=await dev_mode(store, vault, system) if settings.dev else None,
        ready=engine.ready,
        metrics=metrics_page(seeing.metrics, store, engine, settings, system, waiters),
        metrics_open=settings.metrics_open,
        metrics_apart=settings.processes > 1,
        estimates=seeing.estimates,
    )


def tokens_of(store: Store) -> TokenStore | None:
    """Where rates are counted that hold over several processes; None: there is one alone."""
    return store if isinstance(store, TokenStore) else None


async def dev_mode(store: Store, vault: Vault, system: System) -> DevMode:
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
