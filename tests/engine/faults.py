"""A store that fails on demand: the real one, with faults put before or behind its verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from dispatcher.core.errors import StoreUnavailable
from dispatcher.ports.store import Heart, Store


class FaultyStore:
    """Wraps a store. `store` is to be used in its place; the rest sets what goes wrong."""

    def __init__(self, real: Store) -> None:
        self.real = real
        self.calls: dict[str, int] = {}
        self._called = asyncio.Event()
        self._applying = 0
        self._applied = asyncio.Event()
        self.after_beat: Callable[[], None] = lambda: None
        self._before: dict[str, list[BaseException]] = {}
        self._after: dict[str, list[BaseException]] = {}
        self._gates: dict[str, Gate] = {}
        self._heart_fault: Callable[[], None] | None = None
        self.store = cast("Store", self)

    def fail(self, verb: str, times: int = 1, error: BaseException | None = None) -> None:
        """The next calls raise, and nothing is done."""
        self._before.setdefault(verb, []).extend(times * [error or StoreUnavailable("disk full")])

    def lose_answer(self, verb: str, times: int = 1) -> None:
        """The next calls are done, but their answer is lost."""
        lost = StoreUnavailable("connection lost")
        self._after.setdefault(verb, []).extend(times * [lost])

    def hold(self, verb: str) -> Gate:
        """Calls of `verb` are done, but their answers wait until the gate is opened."""
        return self._gates.setdefault(verb, Gate())

    def break_heart(self, fault: Callable[[], None] | None = None) -> None:
        """Each beat from now on raises `StoreUnavailable`, or does what `fault` does."""

        def unavailable() -> None:
            raise StoreUnavailable("no touch")

        self._heart_fault = fault or unavailable

    def mend_heart(self) -> None:
        """Beats reach the store again."""
        self._heart_fault = None

    async def until_called(self, verb: str, count: int) -> None:
        """Wait until `verb` was called so many times and each call has come to its end."""
        async with asyncio.timeout(60):
            while self.calls.get(verb, 0) < count:
                self._called.clear()
                await self._called.wait()

    @property
    def applying(self) -> bool:
        """Whether the store has a change that it has not decided on."""
        return self._applying > 0

    async def until_applied(self) -> None:
        """Wait until the store has decided on all changes."""
        async with asyncio.timeout(60):
            while self.applying:
                self._applied.clear()
                await self._applied.wait()

    def heal(self) -> None:
        """Nothing fails and nothing waits any more."""
        self._before.clear()
        self._after.clear()
        self.mend_heart()
        for gate in self._gates.values():
            gate.open()
        self._gates.clear()

    def heart(self, holder_id: str, name: str, lease_seconds: float) -> Heart:
        """See `Store.heart`."""
        return FaultyHeart(self, self.real.heart(holder_id, name, lease_seconds))

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self.real, verb)

        async def call(*arguments: Any, **named: Any) -> Any:
            try:
                if self._before.get(verb):
                    raise self._before[verb].pop(0)
                answer = await self._done(verb, real(*arguments, **named))
                gate = self._gates.get(verb)
                if gate is not None:
                    await gate.pass_through()
                if self._after.get(verb):
                    raise self._after[verb].pop(0)
            finally:
                self.calls[verb] = self.calls.get(verb, 0) + 1
                self._called.set()
            return answer

        return call

    async def _done(self, verb: str, work: Awaitable[Any]) -> Any:
        self._applying += verb == "apply"
        try:
            return await work
        finally:
            self._applying -= verb == "apply"
            self._applied.set()


class FaultyHeart:
    """Wraps a heart."""

    def __init__(self, owner: FaultyStore, real: Heart) -> None:
        self._owner = owner
        self._real = real

    def beat(self) -> None:
        """See `Heart.beat`."""
        fault = self._owner._heart_fault
        if fault is not None:
            fault()
        self._real.beat()
        self._owner.after_beat()

    def close(self) -> None:
        """See `Heart.close`."""
        self._real.close()


class Gate:
    """Holds whoever comes until it is opened; tells when somebody waits."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._reached = asyncio.Event()
        self.came = 0

    def open(self) -> None:
        """Let all pass, from now on."""
        self._open.set()

    async def reached(self, count: int = 1) -> None:
        """Wait until so many have come to the gate."""
        async with asyncio.timeout(60):
            while self.came < count:
                self._reached.clear()
                await self._reached.wait()

    async def pass_through(self) -> None:
        """Wait at the gate."""
        self.came += 1
        self._reached.set()
        await self._open.wait()
