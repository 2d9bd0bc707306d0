"""The state machine on SQLite, then moved with all that there is, then on PostgreSQL.

The same model goes on: what it knows of jobs, deliveries, keys, order and leases must be so there.
"""

from __future__ import annotations

import os
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dispatcher.core.model import DeliveryState
from dispatcher.testing.conformance import stateful
from dispatcher.testing.conformance.agreement import agree_on_events
from dispatcher.testing.conformance.machine import StoreMachine
from dispatcher.testing.conformance.run import Run
from tests.store.moving_backend import MovingBackend


async def move(run: Run, kills: list[int]) -> None:
    """Move, and open again; leases of processes and of deliveries end with it."""
    assert isinstance(run.backend, MovingBackend)
    for _, heart, _ in run.holders:
        heart.close()
    run.holders.clear()
    await run.backend.move(kills)
    run.stores = [await run.backend.open(), await run.backend.open()]
    run.scene.store, run.scene.other = run.stores
    for holder, until in run.model.holders.items():
        if holder.startswith("hld_"):  # those of remote workers live on
            run.model.holders[holder] = min(until, run.now)
    for sent in run.model.deliveries.values():
        if sent.delivery.state is DeliveryState.SENDING:
            sent.lease_until = min(sent.lease_until, run.now)
    run.told = True
    await agree_on_events(run.scene, run.model)


class MovingMachine(StoreMachine):
    """Moves once, somewhere in the middle."""

    def _moved(self) -> bool:
        assert isinstance(self.run.backend, MovingBackend)
        return self.run.backend.moved

    @precondition(lambda self: not self._moved() and len(self.run.model.jobs) > 8)
    @rule(kills=st.lists(st.integers(0, 60), max_size=4))
    def move(self, kills: list[int]) -> None:
        self.do(move(self.run, kills))

    def teardown(self) -> None:
        """Those that have not moved by now move before all is ended and counted."""
        if not self.broken and self.run.stores and not self._moved():
            self.do(move(self.run, []))
        super().teardown()


with patch.dict(os.environ, {"CONFORMANCE_EXAMPLES": os.environ.get("CONFORMANCE_EXAMPLES", "8")}):
    TestStatefulMoving = stateful(MovingBackend, MovingMachine)
