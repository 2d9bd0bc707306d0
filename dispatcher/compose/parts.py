"""The parts that `service` puts together, each made from the settings."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version
from typing import Final

from dispatcher.adapters.metrics import InFlight, Metrics, MetricsPage
from dispatcher.adapters.runners.bulk import BulkRunner
from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.adapters.runners.declared import declared_runners, job_type, remote_kinds
from dispatcher.adapters.runners.echo import EchoRunner
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.sender import AiohttpSender, SenderTerms
from dispatcher.core.breaker import BreakerTerms
from dispatcher.core.bulk import BulkKind
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import ApiKey, Caller, JobType, Role
from dispatcher.core.signature import parse_secret
from dispatcher.engine.bulk import Bulk
from dispatcher.engine.callers import Callers, new_api_key
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.estimates import Estimates
from dispatcher.engine.rates import Rates
from dispatcher.engine.signer import Signer
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.engine.waiters import Places, Waiters
from dispatcher.ports.records import Concurrency
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import Store
from dispatcher.ports.system import Timers
from dispatcher.ports.vault import Vault
from dispatcher.settings import RemoteType, Settings
from dispatcher.web.schemas import Schemas, replayable
from dispatcher.web.services import DevMode, Services

DEV_SECRET: Final = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # fixed and documented
DEV_CALLER_ID: Final = "clr_00000000000070008000000000000de0"
DISTRIBUTION: Final = "callback-dispatcher"


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
    store: Store,
    vault: Vault,
    system: System,
) -> dict[str, Runner]:
    """What does the jobs of each type."""
    found: dict[str, Runner] = {each.type.name: each for each in built_in()}
    found.update(() if app is None else app.runners(children))
    secrets_seconds = engine_terms(settings).secrets_seconds
    declared = declared_runners(
        settings.types,
        children=children,
        signs=Signer(store, vault, system.clock, keep_seconds=secrets_seconds),
        clock=system.clock,
        connect_seconds=settings.connect_timeout_seconds,
        user_agent=user_agent(),
    )
    found.update(declared)
    return found


def engine_of(
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
        user_agent=user_agent(),
        terms=engine_terms(settings),
        system=system,
        remote=remote_kinds(settings.types),
    )


def bulk_of(
    engine: Engine, settings: Settings, store: Store, catalog: Catalog, system: System
) -> Bulk:
    may_replay = replayable(catalog)
    terms = engine_terms(settings).delivery
    jobs, accept = engine.jobs, engine.accept
    return Bulk(store, jobs, accept, may_replay=may_replay, terms=terms, system=system)


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
        deliveries=InFlight(lambda: engine.deliveries.sending, settings.deliveries_at_once),
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


def engine_terms(settings: Settings) -> EngineTerms:
    return EngineTerms(
        schedule=settings.schedule,
        jobs_at_once=settings.jobs_at_once,
        deliveries_at_once=settings.deliveries_at_once,
        slots=settings.delivery_slots,
        send_seconds=settings.delivery_timeout_seconds,
        lease_seconds=settings.lease_seconds,
        grace_seconds=settings.grace_seconds,
        concurrency=Concurrency(
            # Of other types the one process that serves an SQLite file counts by itself.
            types={
                each.name: each.concurrency
                for each in settings.types
                if isinstance(each, RemoteType) and each.concurrency is not None
            },
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
    *,
    url: str,
    catalog: Catalog,
    metrics: Metrics,
    estimates: Estimates,
    waiters: Waiters,
) -> Services:
    """What the HTTP edge is given."""
    told = system.observer
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
        rates=Rates(settings.limits_in_force.of_a_caller, system.clock, told),
        store=store,
        catalog=catalog,
        vault=vault,
        clock=system.clock,
        ids=system.ids,
        policy=settings.policy,
        limits=settings.limits_in_force,
        public_url=url,
        waiters=waiters,
        observer=told,
        dev=await dev_mode(store, vault, system) if settings.dev else None,
        ready=engine.ready,
        metrics=metrics_page(metrics, store, engine, settings, system, waiters),
        metrics_open=settings.metrics_open,
        estimates=estimates,
    )


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
