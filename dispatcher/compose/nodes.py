"""What a process has to do with others on the same store: its role, and hints."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiohttp import web

from dispatcher.compose.parts import parts_of
from dispatcher.engine.hinting import Hearing
from dispatcher.engine.signer import Signer
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import System
from dispatcher.engine.timekeeping import Timekeeping
from dispatcher.ports.hints import EVERY_TOPIC, Hints, Topic
from dispatcher.ports.runner import Runner
from dispatcher.ports.store import Store
from dispatcher.ports.system import Paced, Timers
from dispatcher.settings import Settings
from dispatcher.settings.store_url import is_sqlite
from dispatcher.web.app import make_app, make_side_app
from dispatcher.web.auth import Keys
from dispatcher.web.server import SHARED_SECONDS, EdgeRunner
from dispatcher.web.services import Services


def forgetting(
    engine: Engine, keys: Keys, services: Services, signer: Signer
) -> Callable[[str | None], None]:
    """Has all parts that keep something of a caller (None: of all) read it anew."""

    def forget(owner: str | None) -> None:
        keys.forget(owner)
        signer.forget(owner)
        engine.deliveries.forget(owner)
        if owner is None:
            services.public_keys.forget()

    return forget


def hearing_of(
    settings: Settings,
    engine: Engine,
    services: Services,
    runners: Mapping[str, Runner],
    store: Store,
    timers: Timers,
    forget: Callable[[str | None], None],
) -> Hearing:
    """What acts on hints, in all parts that keep something which others may have changed."""
    return Hearing(
        engine,
        store,
        services.waiters,
        services.catalog,
        types=frozenset(runners) if parts_of(settings).jobs else frozenset(),
        forget=forget,
        timers=timers,
    )


@asynccontextmanager
async def hearing_others(
    hints: Hints | None, hearing: Hearing, settings: Settings
) -> AsyncIterator[None]:
    """Act on what others hint at, if there is a way; and know the types that they declare.

    Raises `StoreError` if those can't be read at the start.
    """
    await hearing.learn_types()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(hearing.close)
        opened.push_async_callback(cancel, asyncio.create_task(hearing.keep_types()))
        if hints is not None:
            await opened.enter_async_context(hints.listening(hearing.hear, topics_of(settings)))
        yield


@asynccontextmanager
async def keeping_time(store: Store, time: Paced, system: System) -> AsyncIterator[None]:
    """Go by the store's clock; raises `StoreError` if it can't be asked at the start."""
    timekeeping = Timekeeping(store, time, system)
    await timekeeping.begin()
    asking = asyncio.create_task(timekeeping.run())
    try:
        yield
    finally:
        await cancel(asking)


def topics_of(settings: Settings) -> frozenset[Topic]:
    """What a process of this role acts on."""
    parts = parts_of(settings)
    topics: set[Topic] = set(EVERY_TOPIC) if parts.edge else {Topic.TYPES}
    topics -= {Topic.SENDING, Topic.CANCEL, Topic.ENDPOINT}
    if parts.jobs:  # endpoints that do jobs are called with signatures
        topics |= {Topic.WORK, Topic.CANCEL, Topic.CALLER, Topic.SERVICE_KEYS}
    if parts.deliveries:
        topics |= {Topic.SENDING, Topic.CALLER, Topic.ENDPOINT, Topic.SERVICE_KEYS}
    return frozenset(topics)


async def edge_of(
    opened: AsyncExitStack, settings: Settings, services: Services, keys: Keys
) -> EdgeRunner:
    """The HTTP edge: the API, or what every process says of itself."""
    if not parts_of(settings).edge:
        return await side_of(opened, settings, services, keys)
    age = connection_seconds(settings)
    return await _runner(opened, settings, services, make_app(services, keys), age)


def connection_seconds(settings: Settings) -> float:
    """How old a caller's connection may be: as old as it likes, where nobody else serves."""
    return math.inf if is_sqlite(settings.store) else SHARED_SECONDS


async def side_of(
    opened: AsyncExitStack, settings: Settings, services: Services, keys: Keys
) -> EdgeRunner:
    """What every process says of itself: whether it lives and is ready, and its metrics."""
    return await _runner(opened, settings, services, make_side_app(services, keys, settings.role))


async def _runner(
    opened: AsyncExitStack,
    settings: Settings,
    services: Services,
    app: web.Application,
    connection_seconds: float = math.inf,
) -> EdgeRunner:
    edge = EdgeRunner(
        app,
        services.ids,
        grace_seconds=settings.grace_seconds,
        connection_seconds=connection_seconds,
    )
    opened.push_async_callback(edge.cleanup)
    await edge.setup()
    return edge


async def cancel(task: asyncio.Task[None]) -> None:
    """End a task that never ends by itself."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
