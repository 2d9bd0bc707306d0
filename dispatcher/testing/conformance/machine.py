"""The state machine: Hypothesis chooses the steps, the clock and the crashes; `run` compares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final
from unittest import TestCase

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import Struct

from dispatcher.core.model import Callback, EventType
from dispatcher.ports.records import Idempotency, NewJob, RemoteTerms
from dispatcher.testing.conformance.agreement import agree
from dispatcher.testing.conformance.backend import Backend
from dispatcher.testing.conformance.moves import (
    DELIVERIES_STEERED,
    DELIVERY_MOVES,
    JOB_MOVES,
    MOVES,
    Move,
    as_change,
)
from dispatcher.testing.conformance.run import Run
from dispatcher.testing.conformance.upkeep import finale, held_jobs, pause, prune, sweep
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    EVERY_EVENT,
    MAIL,
    OTHER_ORIGIN,
    REPORT,
    a_callback,
)
from dispatcher.testing.conformance.workers import find, lease_remotely, renew, steer_queue

CALLBACKS: Final[tuple[Callback | None, ...]] = (
    a_callback(),
    a_callback(OTHER_ORIGIN),
    a_callback(events=EVERY_EVENT),
    a_callback(OTHER_ORIGIN, schedule=(3.0, 10.0)),
    a_callback(events=(EventType.JOB_OUTPUT,)),
    None,
)
MOMENTS: Final = (0.0, 0.001, 0.999, 5.0, 19.999, 20.0, 30.0, 61.0, 600.0)
DELAYS_MS: Final = (0, 0, 0, 0, 1, 5_000, 60_000)
LIMITS_MS: Final = (None, None, None, None, None, None, 1, 5_000, 61_000)


class Wish(Struct, frozen=True, repr_omit_defaults=True):
    """What a job to be added is like; `callback` is one of `CALLBACKS`."""

    caller_id: str = ANN
    queue: str = "default"
    type: str = MAIL
    priority: int = 0
    delay_ms: int = 0
    start_by_ms: int | None = None
    deadline_ms: int | None = None
    callback: int = 0
    max_attempts: int = 1
    hand_off: bool = False
    key: str | None = None
    ordering_key: str | None = None
    digest: bytes = b"d" * 32


WISHES: Final = st.builds(
    Wish,
    caller_id=st.sampled_from((ANN, BEN)),
    queue=st.sampled_from(("default", "other")),
    type=st.sampled_from((MAIL, REPORT)),
    priority=st.integers(0, 9),
    delay_ms=st.sampled_from(DELAYS_MS),
    start_by_ms=st.sampled_from(LIMITS_MS),
    deadline_ms=st.sampled_from(LIMITS_MS),
    callback=st.integers(0, len(CALLBACKS) - 1),
    max_attempts=st.integers(1, 3),
    hand_off=st.booleans(),
    key=st.sampled_from((None, None, "k1", "k2")),
    ordering_key=st.sampled_from((None, None, "o1", "o2")),
    digest=st.sampled_from((b"d" * 32, b"e" * 32)),
)
WHICH: Final = st.integers(0, 1)
PICK: Final = st.integers(0, 3)
LIMIT: Final = st.sampled_from((5, 3, 2, 1, 0))
FREE: Final = st.sampled_from((3, 2, 1, 0))
REMOTE: Final = (RemoteTerms(ANN, 10.0), RemoteTerms(BEN, 30.0), RemoteTerms(ANN, 100.0))
TYPES: Final = st.fixed_dictionaries({MAIL: FREE, REPORT: FREE})


def as_job(run: Run, wish: Wish, holder: str) -> NewJob:
    """The job to add that a wish describes."""
    now = run.now
    job = run.scene.job(
        caller_id=wish.caller_id,
        queue=wish.queue,
        type=wish.type,
        priority=wish.priority,
        due_at=now + wish.delay_ms,
        start_by=None if wish.start_by_ms is None else now + wish.start_by_ms,
        deadline=None if wish.deadline_ms is None else now + wish.deadline_ms,
        callback=CALLBACKS[wish.callback],
        max_attempts=wish.max_attempts,
        retention_seconds=60.0,
        ordering_key=wish.ordering_key,
    )
    key = None if wish.key is None else Idempotency(wish.key, wish.digest, now + 10**12)
    return run.scene.new(job, key=key, holder=holder if wish.hand_off else None)


class StoreMachine(RuleBasedStateMachine):
    """Steps of many processes on one database, in an order that only a test would choose."""

    make_backend: ClassVar[Callable[[], Backend]]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.run = Run(type(self).make_backend())
        self.broken = False

    def do(self, step: Coroutine[Any, Any, object], *, compare: bool = True) -> None:
        """Take a step, then compare all that the store shows with the model."""
        try:
            self.loop.run_until_complete(step)
            if compare:
                self.loop.run_until_complete(agree(self.run.scene, self.run.model))
        except BaseException:
            self.broken = True
            raise

    @initialize(wishes=st.lists(WISHES, min_size=4, max_size=12))
    def begin(self, wishes: list[Wish]) -> None:
        async def step() -> None:
            await self.run.begin()
            holder = await self.run.hold(0)
            await self.run.add(0, [as_job(self.run, wish, holder) for wish in wishes])

        self.do(step())

    def teardown(self) -> None:
        """See that nothing was lost, unless the run has failed before."""
        try:
            if not self.broken:
                self.do(finale(self.run))
        finally:
            self.loop.run_until_complete(self.run.backend.drop())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    @rule(which=WHICH, wishes=st.lists(WISHES, min_size=1, max_size=4), pick=PICK)
    def add_jobs(self, which: int, wishes: list[Wish], pick: int) -> None:
        async def step() -> None:
            holder = await self.run.holder(which, pick)
            await self.run.add(which, [as_job(self.run, wish, holder) for wish in wishes])

        self.do(step())

    @rule(which=WHICH, pick=PICK, types=TYPES, limit=LIMIT)
    def claim_jobs(self, which: int, pick: int, types: dict[str, int], limit: int) -> None:
        async def step() -> None:
            holder = await self.run.holder(which, pick)
            await self.run.claim(which, holder, types, limit)

        self.do(step())

    @rule(pick=PICK, types=TYPES, limit=LIMIT)
    def claim_jobs_at_once(self, pick: int, types: dict[str, int], limit: int) -> None:
        async def step() -> None:
            holder = await self.run.holder(0, pick)
            await self.run.claim_both(holder, types, limit)

        self.do(step())

    @rule(which=WHICH, types=TYPES, limit=LIMIT, terms=st.sampled_from(REMOTE))
    def lease_remotely(
        self, which: int, types: dict[str, int], limit: int, terms: RemoteTerms
    ) -> None:
        self.do(lease_remotely(self.run, which, terms, types, limit))

    @rule(which=WHICH, pick=PICK, stranger=st.sampled_from((False, False, True)))
    def renew(self, which: int, pick: int, *, stranger: bool) -> None:
        self.do(renew(self.run, which, pick, stranger=stranger), compare=False)

    @rule(which=WHICH, pick=PICK)
    def find_lease(self, which: int, pick: int) -> None:
        self.do(find(self.run, which, pick), compare=False)

    @rule(which=WHICH, queue=st.sampled_from(("default", "other", None)), paused=st.booleans())
    def steer_queue(self, which: int, queue: str | None, *, paused: bool) -> None:
        self.do(steer_queue(self.run, which, queue, paused=paused), compare=False)

    @rule(which=WHICH, limit=LIMIT)
    def claim_deliveries(self, which: int, limit: int) -> None:
        self.do(self.run.lease(which, limit))

    @rule(limit=LIMIT)
    def claim_deliveries_at_once(self, limit: int) -> None:
        self.do(self.run.lease_both(limit))

    @rule(which=WHICH, kinds=st.lists(st.sampled_from(JOB_MOVES), min_size=3, max_size=6))
    def work(self, which: int, kinds: list[str]) -> None:
        """Claim jobs, and make something of each in a call of its own."""

        async def step() -> None:
            holder = await self.run.holder(which, 0)
            await self.run.claim(which, holder, {MAIL: 3, REPORT: 3}, len(kinds))
            for kind in kinds:
                change = as_change(self.run, Move(kind, delay_ms=1, flag=True))
                await self.run.apply(which, [] if change is None else [change])

        self.do(step())

    @rule(which=WHICH, kind=st.sampled_from(JOB_MOVES))
    def wake_up_late(self, which: int, kind: str) -> None:
        """A worker sleeps past its lease; another takes over; then the first one writes."""

        async def step() -> None:
            await self.run.backend.advance(30)
            holder = await self.run.hold(which)
            await self.run.claim(which, holder, {MAIL: 5, REPORT: 5}, 5)
            change = as_change(self.run, Move(kind, late=True))
            await self.run.apply(1 - which, [] if change is None else [change])

        self.do(step())

    @rule(
        which=WHICH,
        kinds=st.lists(st.sampled_from(DELIVERY_MOVES), min_size=1, max_size=5),
        again=st.integers(0, 2),
    )
    def deliver(self, which: int, kinds: list[str], again: int) -> None:
        """Claim deliveries, record each in one call for all, and begin some that ended again."""

        async def step() -> None:
            await self.run.lease(which, len(kinds))
            moves = [Move(kind, n, flag=n > 0) for n, kind in enumerate(kinds)]
            changes = [as_change(self.run, move) for move in moves]
            await self.run.apply(which, [change for change in changes if change is not None])
            for token in range(again):
                change = as_change(self.run, Move("redeliver", token))
                await self.run.apply(1 - which, [] if change is None else [change])

        self.do(step())

    @rule(which=WHICH, rounds=st.integers(1, 4))
    def lose(self, which: int, rounds: int) -> None:
        """Claim deliveries and record nothing, so that their leases end."""

        async def step() -> None:
            for _ in range(rounds):
                await self.run.lease(which, 5)
                await self.run.backend.advance(20)

        self.do(step())

    @rule(which=WHICH, token=st.integers(0, 12), kind=st.sampled_from(DELIVERIES_STEERED))
    def steer(self, which: int, token: int, kind: str) -> None:
        """A caller cancels or redelivers."""
        change = as_change(self.run, Move(kind, token, flag=True))
        if change is not None:
            self.do(self.run.apply(which, [change]))

    @rule(which=WHICH, move=MOVES)
    def change(self, which: int, move: Move) -> None:
        change = as_change(self.run, move)
        if change is not None:
            self.do(self.run.apply(which, [change]))

    @rule(which=WHICH, moves=st.lists(MOVES, min_size=2, max_size=5))
    def change_many(self, which: int, moves: list[Move]) -> None:
        changes = [as_change(self.run, move) for move in moves]
        self.do(self.run.apply(which, [change for change in changes if change is not None]))

    @rule(which=WHICH, pick=st.integers(0, 9))
    def send_again(self, which: int, pick: int) -> None:
        """A write whose answer was lost is repeated, however late."""
        if self.run.applied:
            change = self.run.applied[-1 - pick % len(self.run.applied)]
            self.do(self.run.apply(which, [change]))

    @rule(seconds=st.sampled_from(MOMENTS))
    def advance(self, seconds: float) -> None:
        self.do(self.run.backend.advance(seconds), compare=False)

    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        self.do(self.run.beat(pick), compare=False)

    @rule(which=WHICH)
    def hold(self, which: int) -> None:
        self.do(self.run.hold(which), compare=False)

    @rule(which=WHICH, pick=PICK)
    def release_holder(self, which: int, pick: int) -> None:
        self.do(self.run.release_holder(which, pick))

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.do(self.run.crash(which))

    @rule(which=WHICH)
    def sweep(self, which: int) -> None:
        self.do(sweep(self.run, which))

    @rule(which=WHICH, limit=LIMIT)
    def prune(self, which: int, limit: int) -> None:
        self.do(prune(self.run, which, limit))

    @rule(which=WHICH, pick=PICK, resume=st.booleans())
    def pause(self, which: int, pick: int, resume: bool) -> None:
        self.do(pause(self.run, which, pick, resume=resume))

    @rule(which=WHICH)
    def ask_who_is_to_stop(self, which: int) -> None:
        self.do(held_jobs(self.run, which), compare=False)


def stateful(
    make_backend: Callable[[], Backend], machine: type[StoreMachine] = StoreMachine
) -> type[TestCase]:
    """The test case that runs the machine on a backend; its length is set by the environment.

    A failure is not made smaller unless `CONFORMANCE_SHRINK` is set: it takes minutes.
    """

    class Machine(machine):  # type: ignore[misc,valid-type]  # chosen by whoever calls
        pass

    Machine.make_backend = staticmethod(make_backend)
    case: type[TestCase] = Machine.TestCase
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    if os.environ.get("CONFORMANCE_SHRINK"):
        phases.append(Phase.shrink)
    case.settings = settings(  # type: ignore[attr-defined]  # Hypothesis reads it from the class
        max_examples=int(os.environ.get("CONFORMANCE_EXAMPLES", "60")),
        stateful_step_count=int(os.environ.get("CONFORMANCE_STEPS", "40")),
        deadline=None,
        phases=phases,
        suppress_health_check=[HealthCheck.too_slow],
    )
    return case
