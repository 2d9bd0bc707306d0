"""Remote workers who wait for jobs: each job wakes one of them, and none is left lying."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import Stopping, StoreUnavailable
from dispatcher.core.retry import JobBackoff, Schedule
from dispatcher.engine.leases import POLL_SECONDS, RemoteKind, RemoteWork
from dispatcher.engine.lines import Line
from dispatcher.engine.terms import EngineTerms, System
from dispatcher.ports.records import ClaimedJobs, JobClaim, RemoteTerms
from dispatcher.testing.clock import CountingIds, ManualClock
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers
from tests.engine.stage import Steady
from tests.fact_samples import JOB

MANY = 50
LONG = 3_600.0


class Waiters:
    """Remote workers, and a store of which they are given jobs: some turns of the loop a claim."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.ids = CountingIds()
        self.due: list[str] = []
        self.later: list[int] = []
        self.looks = 0
        self.fails = False
        self.jobs = SimpleNamespace(on_ready=None)
        self.work = RemoteWork(
            cast("Any", self),
            cast("Any", self.jobs),
            cast("Any", None),
            {name: RemoteKind(JobBackoff(), 1_000) for name in "ab"},
            terms=EngineTerms(schedule=Schedule((0.0,))),
            system=System(
                self.clock, self.timers, Steady(), self.ids, cast("Any", RecordingObserver())
            ),
        )

    async def claim_jobs(self, claim: JobClaim) -> ClaimedJobs:
        """Of the types asked for, as `JobStore.claim_jobs`."""
        self.looks += 1
        await asyncio.sleep(0)
        if self.fails:
            raise StoreUnavailable("away")
        now = self.clock.now()
        self.due += ["a" for at in self.later if at <= now]
        self.later = [at for at in self.later if at > now]
        found = [each for each in self.due if each in claim.types][: claim.limit]
        for each in found:
            self.due.remove(each)
        leased = [LeasedJob(replace(JOB, type=each), self.ids.new("lse"), b"{}") for each in found]
        more = any(each in claim.types for each in self.due)
        next_at = now if more else min(self.later, default=None)
        await asyncio.sleep(0)
        return ClaimedJobs(tuple(leased), next_at)

    def come(self, types: str = "a") -> None:
        """A job of each of these types is there to be done; whoever waits is told of each."""
        for each in types:
            self.due.append(each)
            self.jobs.on_ready(None)

    async def wait(
        self, types: str = "a", *, limit: int = 1, seconds: float = LONG
    ) -> asyncio.Task[tuple[LeasedJob, ...]]:
        """One more who waits, and has looked once."""
        terms = RemoteTerms(JOB.caller_id, 30.0)
        asked = self.work.lease(types, limit, terms, wait_seconds=seconds)
        task = asyncio.create_task(asked)
        await self.turns()
        return task

    async def many(self, count: int = MANY) -> list[asyncio.Task[tuple[LeasedJob, ...]]]:
        """So many who wait; their looks are not counted."""
        found = [await self.wait() for _ in range(count)]
        self.looks = 0
        return found

    async def turns(self, count: int = 20) -> None:
        """Let the event loop do what it can do while no time passes."""
        for _ in range(count):
            await asyncio.sleep(0)


@pytest.fixture
def here() -> Waiters:
    return Waiters()


def given(tasks: Sequence[asyncio.Task[tuple[LeasedJob, ...]]]) -> list[int]:
    """How many jobs each was given who waits no more."""
    return [len(each.result()) for each in tasks if each.done() and not each.cancelled()]


async def end(tasks: Sequence[asyncio.Task[tuple[LeasedJob, ...]]]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_of_many_who_wait_a_job_wakes_one_and_he_the_next(here: Waiters) -> None:
    tasks = await here.many()
    here.come()
    await here.turns()
    assert given(tasks) == [1]
    assert here.looks == 2
    await end(tasks)


async def test_jobs_that_come_together_are_taken_together(here: Waiters) -> None:
    tasks = await here.many()
    here.come("a" * 10)
    await here.turns(6)  # two claims, one after another, take as long
    assert given(tasks) == [1] * 10
    await here.turns()
    assert here.looks <= 30
    await end(tasks)


async def test_of_many_jobs_told_at_once_each_who_is_given_one_wakes_two(here: Waiters) -> None:
    tasks = await here.many()
    here.due = ["a"] * 30
    here.jobs.on_ready(None)
    await here.turns(30)  # one after another they would take three times as long
    assert given(tasks) == [1] * 30
    await here.turns()
    assert here.looks <= MANY + 30
    await end(tasks)


async def test_one_looks_now_and_then_for_all(here: Waiters) -> None:
    """What others brought without a word is found, and so is what is due later."""
    tasks = await here.many()
    here.due = ["a"] * 3
    await here.turns()
    assert here.looks == 0
    here.timers.advance(POLL_SECONDS)
    await here.turns(40)
    assert given(tasks) == [1] * 3
    assert here.looks <= 6
    here.looks = 0
    here.later = [here.clock.now() + 1_300]
    here.timers.advance(POLL_SECONDS)
    await here.turns()
    assert here.looks == 1
    here.timers.advance(0.3)
    await here.turns()
    assert given(tasks) == [1] * 4
    await end(tasks)


async def test_what_is_told_to_be_due_later_is_looked_for_then(here: Waiters) -> None:
    tasks = await here.many(3)
    here.later = [here.clock.now() + 400]
    here.jobs.on_ready(here.later[0])
    here.timers.advance(0.4)
    await here.turns()
    assert given(tasks) == [1]
    await end(tasks)


async def test_who_gives_up_when_he_was_just_woken_wakes_another(here: Waiters) -> None:
    first, *others = tasks = await here.many(3)
    here.come()
    first.cancel()
    await here.turns()
    assert given(others) == [1]
    await end(tasks)


async def test_whose_time_is_up_when_he_was_just_woken_wakes_another(here: Waiters) -> None:
    first = await here.wait()
    short = await here.wait(seconds=0.5)
    last = await here.wait()
    here.come("aa")
    here.clock.advance(0.5)
    await here.turns()
    assert given([first, short, last]) == [1, 0, 1]


async def test_who_looks_in_vain_while_a_job_comes_looks_again(here: Waiters) -> None:
    task = asyncio.create_task(
        here.work.lease("a", 1, RemoteTerms(JOB.caller_id, 30.0), wait_seconds=LONG)
    )
    await here.turns(2)  # he has found nothing, and is not told of it yet
    assert here.looks == 1
    here.come()
    await here.turns()
    assert given([task]) == [1]


async def test_those_of_other_types_keep_nothing_from_each_other(here: Waiters) -> None:
    tasks = [await here.wait(types) for types in ("a", "ab", "a", "b")]
    here.come("b")
    await here.turns()
    assert given([tasks[1], tasks[3]]) == [1]
    here.come("b")
    await here.turns()
    assert given([tasks[1], tasks[3]]) == [1, 1]
    assert given(tasks) == [1, 1]
    await end(tasks)


async def test_when_the_store_is_away_each_is_told(here: Waiters) -> None:
    tasks = await here.many(3)
    here.fails = True
    here.timers.advance(POLL_SECONDS)
    await here.turns()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [StoreUnavailable] * 3


async def test_the_end_lets_all_go(here: Waiters) -> None:
    tasks = [*await here.many(3), await here.wait("b")]
    here.work.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [Stopping] * 4
    assert here.work._lines == {}


async def test_when_all_are_at_it_a_ring_is_kept(here: Waiters) -> None:
    line = Line(here.clock, here.timers)
    first, _ = line.join(), line.join()
    line.ring()
    await asyncio.wait_for(first.rest(here.clock.now() + 1), 1)
    line.leave(first)
    assert line.first is not first


@pytest.mark.parametrize("seed", range(100))
async def test_nothing_is_left_lying_while_somebody_waits_for_it(here: Waiters, seed: int) -> None:
    """They come, go and run out of time as jobs come, between any two turns of the loop."""
    chance = random.Random(seed)  # noqa: S311  # a test's dice
    tasks: list[asyncio.Task[tuple[LeasedJob, ...]]] = []
    for _ in range(200):
        match chance.randrange(5):
            case 0:
                asked = here.work.lease(
                    chance.choice(("a", "b", "ab")),
                    chance.choice((1, 1, 3)),
                    RemoteTerms(JOB.caller_id, 30.0),
                    wait_seconds=chance.choice((0.0, 0.2, LONG)),
                )
                tasks.append(asyncio.create_task(asked))
            case 1 if tasks:
                chance.choice(tasks).cancel()
            case 2:
                here.come(chance.choice("ab"))
            case 3:
                here.clock.advance(0.01)  # and no alarm tells of it
            case _:
                await here.turns(chance.randrange(4))
    await here.turns(1_000)
    wanted = {name for types in here.work._lines for name in types}
    assert not wanted & set(here.due)
    await end(tasks)
    assert here.work._lines == {}
