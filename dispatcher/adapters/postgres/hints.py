"""Hints between processes by LISTEN and NOTIFY, on a connection of their own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from dispatcher.adapters.postgres.connection import Address, Connector, Patience, let_go
from dispatcher.adapters.postgres.errors import TROUBLE
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import StoreError
from dispatcher.core.facts import LoopFailed, StoreFailed, StoreRecovered
from dispatcher.ports.hints import EVERY_TOPIC, Hear, Hint, Topic
from dispatcher.ports.observer import Observer

CHANNEL: Final = "dispatcher"
PAYLOAD_BYTES: Final = 7_900
"""PostgreSQL takes less than 8,000 bytes in one notification."""

REST_SECONDS: Final = 0.01
AT_ONCE: Final = 10
"""A notification each 10 ms, and ten more at once after a rest.

Each is a commit, commits with one go in turn, and every process hears it. One that has had little
to say says it at once: somebody may wait for just that.
"""

HELLO_SECONDS: Final = 20.0
"""How often a process says that it is there, which also shows whether its connection still works;
one that has not said so for three times as long is forgotten."""

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0
_TROUBLE: Final = (StoreError, *TROUBLE)
_TELL: Final = statement("hints_tell")
_UNSYNCED: Final = statement("hints_unsynced")
# What processes say to each other besides hints: I listen to these topics; who else is there; bye.
_HERE: Final = "+"
_WHO: Final = "?"
_BYE: Final = "-"


class Pace:
    """Bounds how often something is done: each `REST_SECONDS`, and `AT_ONCE` more after a rest."""

    def __init__(self) -> None:
        self._paid_until = -math.inf

    def rest(self, now: float) -> float:
        """It was done now: so many seconds before it may be done again."""
        self._paid_until = max(self._paid_until, now) + REST_SECONDS
        return max(self._paid_until - now - AT_ONCE * REST_SECONDS, 0.0)


class PostgresHints:
    """Implements `dispatcher.ports.hints.Hints` on a database that several processes share.

    A notification is the process's name and its hints, with spaces between. Each process says when
    it begins what it listens to, and is answered by the others; so one that is alone, or hints at
    something that nobody listens to, sends nothing.
    """

    def __init__(
        self, url: str, *, name: str, observer: Observer, patience: Patience | None = None
    ) -> None:
        """`name` is this process's alone, and has no space in it."""
        self._connector = Connector(Address.parse(url), patience or Patience())
        self._name = name
        self._observer = observer
        self._hear: Hear = lambda _: None
        self._topics = EVERY_TOPIC
        self._peers: dict[str, tuple[frozenset[str], float]] = {}
        self._wanted: frozenset[str] = frozenset()
        self._pending: dict[str, None] = {}
        self._size = 0
        self._rung = asyncio.Event()
        self._pace = Pace()
        self._lost = False
        self._failing = False
        self.heard = 0
        self.told = 0

    def publish(self, topic: Topic, id: str = "") -> None:  # noqa: A002  # the field's own word
        """See `Hints.publish`."""
        if topic in self._wanted and self._size < PAYLOAD_BYTES:  # more makes it `ANYTHING`
            self._say(topic + id)

    def _say(self, word: str) -> None:
        if word not in self._pending:
            self._pending[word] = None
            self._size += len(word.encode()) + 1
            self._rung.set()

    @asynccontextmanager
    async def listening(
        self, hear: Hear, topics: frozenset[Topic] = EVERY_TOPIC
    ) -> AsyncIterator[None]:
        """See `Hints.listening`. Without a database it tries again, and again."""
        self._hear, self._topics = hear, topics
        task = asyncio.get_running_loop().create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- the connection ------------------------------------------------------------------------

    async def _keep(self) -> None:
        wait_seconds = 0.0
        while True:
            try:
                await self._connected()
                wait_seconds = 0.0
            except _TROUBLE as error:
                if not self._failing:
                    self._failing = True
                    self._observer.saw(StoreFailed("hints", str(error)))
            except Exception as error:  # noqa: BLE001  # a defect must not silence all hints for good
                detail = f"{type(error).__name__}: {error}"
                self._observer.saw(LoopFailed("hints", detail, traceback.format_exc()))
            finally:
                self._forget_all()
            wait_seconds = min(max(wait_seconds * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
            await asyncio.sleep(wait_seconds * (0.5 + random.random() / 2))  # noqa: S311  # jitter: nobody gains by guessing it

    async def _connected(self) -> None:
        """Connect and serve until the connection is lost."""
        connection = await self._connector.connect()
        try:
            self._lost = False
            connection.add_termination_listener(self._on_lost)
            await connection.execute(_UNSYNCED)
            await connection.add_listener(CHANNEL, self._on_notified)
            self._say(_HERE + "".join(sorted(self._topics)))
            self._say(_WHO)
            self._hear(Hint(Topic.ANYTHING))  # what was hinted meanwhile is lost
            if self._failing:
                self._failing = False
                self._observer.saw(StoreRecovered("hints"))
            await self._serve(connection)
        except asyncio.CancelledError:
            with contextlib.suppress(*_TROUBLE):
                async with asyncio.timeout(1.0):
                    await self._send(connection, [_BYE])
            raise
        finally:
            await let_go(connection)

    async def _serve(self, connection: asyncpg.Connection) -> None:
        clock = asyncio.get_running_loop().time
        hello_at = clock() + HELLO_SECONDS
        while not self._lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(hello_at):
                    await self._rung.wait()
            if clock() >= hello_at:
                hello_at = clock() + HELLO_SECONDS
                self._forget_silent(clock() - 3 * HELLO_SECONDS)
                self._say(_HERE + "".join(sorted(self._topics)))
            words, self._pending, self._size = list(self._pending), {}, 0
            self._rung.clear()
            if words and not self._lost:
                await self._send(connection, words)
                await asyncio.sleep(self._pace.rest(clock()))

    async def _send(self, connection: asyncpg.Connection, words: list[str]) -> None:
        await _tell(connection, self._name, words)
        self.told += 1

    def _on_lost(self, _: object) -> None:
        self._lost = True
        self._rung.set()

    # --- the others ----------------------------------------------------------------------------

    def _on_notified(self, _: object, __: int, ___: str, payload: object) -> None:
        name, *words = str(payload).split(" ")
        if name == self._name:
            return
        self.heard += 1
        for word in words:
            if word.startswith(_HERE):
                self._meet(name, frozenset(word[1:]))
            elif word == _WHO:
                self._say(_HERE + "".join(sorted(self._topics)))
            elif word == _BYE:
                self._meet(name, None)
            else:
                self._pass_on(word)

    def _pass_on(self, word: str) -> None:
        try:
            topic = Topic(word[:1])
        except ValueError:  # of a newer version
            return
        if topic in self._topics or topic is Topic.ANYTHING:
            self._hear(Hint(topic, word[1:]))

    def _meet(self, name: str, topics: frozenset[str] | None) -> None:
        if topics is None:
            self._peers.pop(name, None)
        else:
            if name not in self._peers:  # it may have declared types before it began to listen
                self._pass_on(Topic.TYPES)
            self._peers[name] = (topics, asyncio.get_running_loop().time())
        self._wanted = frozenset().union(*(each for each, _ in self._peers.values()))

    def _forget_silent(self, since: float) -> None:
        for name in [name for name, (_, at) in self._peers.items() if at < since]:
            self._meet(name, None)

    def _forget_all(self) -> None:
        self._peers.clear()
        self._wanted = frozenset()
        self._pending, self._size = {}, 0
        self._rung.clear()


async def tell_once(
    url: str, name: str, hints: Sequence[Hint], patience: Patience | None = None
) -> None:
    """Tell whoever listens, without listening: for a command, which ends before it met anybody.

    `name` is as that of `PostgresHints`. A database that can't be reached now loses the hints.
    """
    with contextlib.suppress(*_TROUBLE):
        connection = await Connector(Address.parse(url), patience or Patience()).connect()
        try:
            await _tell(connection, name, [topic + id_ for topic, id_ in hints])
        finally:
            await let_go(connection)


async def _tell(connection: asyncpg.Connection, name: str, words: Sequence[str]) -> None:
    payload = " ".join((name, *words))
    if len(payload.encode()) > PAYLOAD_BYTES:
        told = [word for word in words if word[0] in {_HERE, _WHO, _BYE}]
        payload = " ".join((name, *told, Topic.ANYTHING))
    await connection.execute(_TELL, CHANNEL, payload)
