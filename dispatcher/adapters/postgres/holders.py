"""Holders: their beat, and the end of their leases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.connection import Connector, let_go
from dispatcher.adapters.postgres.errors import TROUBLE
from dispatcher.adapters.postgres.session import InjectedNow, Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import Stopping, StoreError, StoreUnavailable

_FIRST_BEAT = statement("holder_beat_first")
_BEAT = statement("holder_beat")
_END = statement("holder_end")
_END_OTHERS = statement("holders_end_others")
_END_DELIVERIES = statement("deliveries_end_leases")
_WAKE = statement("destinations_wake")
_WAKE_LINES = statement("targets_wake")
_BEGIN = statement("begin")
_COMMIT = statement("commit")

Answer = TypeVar("Answer")

HOLDER_KEPT_MS: Final = 60_000
"""So long a process whose lease has ended is remembered though it seems to hold nothing: longer
than any transaction that took it for alive could still be under way."""

MARGIN_SECONDS: Final = 2.0
"""What a beat may take besides connecting and its statements, each of which has a limit."""


class Pulse:
    """A thread with an event loop and a connection of its own, for all beats of a store.

    So a handler that blocks the service's own loop does not silence them.
    """

    def __init__(self, connector: Connector, injected: InjectedNow) -> None:
        self._connector = connector
        self._injected = injected
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._turn: asyncio.Lock | None = None
        self._connection: asyncpg.Connection | None = None
        self._closed = False

    def beat(self, holder_id: str, name: str, lease_ms: int, *, known: bool) -> bool:
        """Make a holder's lease last; False if it had ended. Blocks. Raises `StoreError`."""
        return self._run(self._beat(holder_id, name, lease_ms, known=known))

    def close(self) -> None:
        """Let go of the connection and end the thread; blocks."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            thread = self._thread
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._let_go(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        with self._lock:
            if self._closed:
                work.close()
                raise StoreUnavailable("The store is closed.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="dispatcher-pulse", daemon=True
                )
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    # --- on its own loop -----------------------------------------------------------------------

    async def _beat(self, holder_id: str, name: str, lease_ms: int, *, known: bool) -> bool:
        if self._turn is None:
            self._turn = asyncio.Lock()
        patience = self._connector.patience
        limit = self._connector.connect_seconds + patience.answer_seconds + MARGIN_SECONDS
        async with self._turn:
            try:
                async with asyncio.timeout(limit):
                    try:
                        return await self._once(holder_id, name, lease_ms, known=known)
                    except TROUBLE:
                        # A connection that was idle may be gone; to beat twice does no harm.
                        self._drop()
                        return await self._once(holder_id, name, lease_ms, known=known)
            except StoreError:
                self._drop()
                raise
            except TROUBLE as error:
                self._drop()
                raise self._connector.failure(error) from error

    async def _once(self, holder_id: str, name: str, lease_ms: int, *, known: bool) -> bool:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connect_to_serve()
        connection = self._connection
        told = None if self._injected is None else self._injected()
        await connection.execute(self._connector.begin(_BEGIN))
        if known:
            row = await connection.fetchrow(_BEAT, holder_id, lease_ms, told)
        else:
            row = await connection.fetchrow(_FIRST_BEAT, holder_id, name, lease_ms, told)
        await connection.execute(_COMMIT)
        return row is not None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _let_go(self) -> None:
        if self._connection is not None:
            await let_go(self._connection)
            self._connection = None
            await asyncio.sleep(0)  # its socket is closed in the turn after


class PostgresHeart:
    """A holder's beat."""

    def __init__(self, pulse: Pulse, holder_id: str, name: str, lease_seconds: float) -> None:
        self._pulse = pulse
        self._holder_id = holder_id
        self._name = name
        self._lease_ms = round(lease_seconds * 1000)
        self._known = False
        self._closed = False

    def beat(self) -> None:
        """Make the lease last from now on; raises `StoreUnavailable`, or `Stopping` if it ended."""
        if self._closed:
            raise StoreUnavailable("This heart is closed.")
        lasts = self._pulse.beat(self._holder_id, self._name, self._lease_ms, known=self._known)
        if not lasts:
            raise Stopping(
                f"The lease of {self._holder_id} had ended before this beat: what it held may be "
                "another's, so stop it and hold anew."
            )
        self._known = True

    def close(self) -> None:
        """Beat no more; the lease stays."""
        self._closed = True


async def release_holders(session: Session, entries: Sequence[Entry[str]]) -> list[None]:
    """End holders' leases now."""
    await session.began()
    await session.execute(_END, [entry.item for entry in entries], session.now)
    return [None for _ in entries]


async def end_other_leases(session: Session, entries: Sequence[Entry[str]]) -> list[None]:
    """End the leases of every other holder and of every delivery."""
    for entry in entries:
        await session.began()
        await session.execute(_END_OTHERS, entry.item, session.now)
        await session.execute(_WAKE, session.now)
        await session.execute(_WAKE_LINES, session.now)
        await session.execute(_END_DELIVERIES, session.now)
    return [None for _ in entries]
