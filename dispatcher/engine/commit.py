"""Applying a change until the store has taken it."""

from __future__ import annotations

import asyncio
from typing import Final

from dispatcher.core.audit import AuditEntry
from dispatcher.core.changes import Audited, Change
from dispatcher.core.errors import StoreError
from dispatcher.core.facts import ActionAudited, StoreFailed, StoreRecovered
from dispatcher.core.model import DeliveryState
from dispatcher.engine.terms import System
from dispatcher.ports.records import Applied, ApplyResult, DeliveryTerms
from dispatcher.ports.store import JobStore
from dispatcher.ports.system import Timers

FIRST_WAIT_SECONDS: Final = 0.05
LONGEST_WAIT_SECONDS: Final = 2.0


class Commit:
    """Writes what was decided, and tries again while the store can't be used.

    The same change may be sent again and again: the store knows one that it has applied. If the
    lease ends meanwhile the answer becomes `Stale`, which is what ends the trying at the latest.
    """

    def __init__(self, store: JobStore, terms: DeliveryTerms, system: System) -> None:
        self._store = store
        self._terms = terms
        self._timers = system.timers
        self._random = system.random
        self._observer = system.observer

    async def apply(self, change: Change) -> ApplyResult:
        """Apply one change; raises only what is a defect of ours."""
        wait_seconds = 0.0
        while True:
            try:
                result = await self._once(change)
            except StoreError as error:
                if not wait_seconds:
                    self._observer.saw(StoreFailed(type(change).__name__, str(error)))
                wait_seconds = min(max(wait_seconds * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
                # What failed together comes back spread out: it need not meet the same again.
                await pause(self._timers, wait_seconds * (1.0 - self._random.unit() / 2))
                continue
            if wait_seconds:
                self._observer.saw(StoreRecovered(type(change).__name__))
            return result

    async def apply_once(self, change: Change) -> ApplyResult:
        """Apply one change; raises `StoreError` if the store can't take it now."""
        return await self._once(change)

    async def _once(self, change: Change | Audited) -> ApplyResult:
        (result,) = await self._store.apply((change,), self._terms)
        if isinstance(result, Exception):
            raise result
        return result

    async def by_hand(self, change: Change, told: AuditEntry | None) -> ApplyResult:
        """As `apply_once`; if it is applied, `told` stands in the audit log with it."""
        if told is None:
            return await self.apply_once(change)
        result = await self._once(Audited(change, told))
        if isinstance(result, Applied):
            self._observer.saw(ActionAudited(told))
        return result


def stands_as(to: DeliveryState, result: ApplyResult) -> DeliveryState:
    """Where a delivery stands after a change that was to lead to `to`, or canceled it."""
    canceled = isinstance(result, Applied) and result.canceled
    return DeliveryState.CANCELED if canceled else to


async def pause(timers: Timers, seconds: float) -> None:
    """Wait by the injected timers."""
    over = asyncio.get_running_loop().create_future()
    alarm = timers.after(seconds, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        alarm.cancel()
