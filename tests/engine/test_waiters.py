"""Waiting: woken by facts, by time, by one look for all; and it costs nothing when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest
from msgspec.structs import replace

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    CancelAsked,
    DeliveryCancelAsked,
    EndpointSwitched,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    JobMoved,
    LoopFailed,
    LoopIdle,
    Redelivered,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import DeliveryState, EventType, JobState, Progress
from dispatcher.engine.waiters import (
    HELD_BACK_SECONDS,
    LIVE_JOBS,
    POLL_JOBS,
    POLL_SECONDS,
    Places,
    Waiters,
    Waiting,
)
from dispatcher.ports.views import FeedPage, Heads
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers
from tests.fact_samples import DELIVERY, ENDED, ENDPOINT, JOB, SENT, SWEPT

PROGRESS = replace(JOB, progress=Progress(1, 10))


class Store:
    """How far jobs and feeds have come, as a test says."""

    def __init__(self) -> None:
        self.jobs: dict[str, int] = {}
        self.feeds: dict[str | None, str] = {}
        self.asked: list[tuple[int, int]] = []
        self.fails = False

    async def list_feed(
        self,
        caller_id: str | None,
        *,
        after: str | None,
        types: Collection[EventType] | None,
        limit: int,
    ) -> FeedPage:
        raise NotImplementedError

    async def heads(self, job_ids: Sequence[str], caller_ids: Collection[str | None]) -> Heads:
        self.asked.append((len(job_ids), len(caller_ids)))
        if self.fails:
            raise StoreUnavailable("disk full")
        return Heads(
            {each: self.jobs[each] for each in job_ids if each in self.jobs},
            {each: self.feeds.get(each, "0") for each in caller_ids},
        )


class Scene:
    def __init__(self) -> None:
        self.timers = ManualTimers(ManualClock())
        self.waiters = Waiters(self.timers, waits=Places(4, 2), streams=Places(4, 2))

    async def waits(self, waiting: Waiting, seconds: float = 10.0) -> asyncio.Task[bool]:
        task = asyncio.create_task(waiting.wait(seconds))
        await asyncio.sleep(0)
        return task


@pytest.fixture
def scene() -> Scene:
    return Scene()


OF_THE_JOB: list[Fact] = [
    JobMoved(JOB.id, JOB.caller_id),
    JobEnded(JOB, JobState.SUCCEEDED),
    replace(ENDED, to=JobState.WAITING),
    SENT,
    SWEPT,
    CancelAsked(JOB),
    Redelivered(DELIVERY),
    DeliveryCancelAsked(DELIVERY, DeliveryState.CANCELED),
]


@pytest.mark.parametrize("fact", OF_THE_JOB, ids=lambda fact: type(fact).__name__)
async def test_a_job_that_moves_wakes_those_who_wait_for_it(scene: Scene, fact: Fact) -> None:
    with scene.waiters.job(JOB.id) as waiting, scene.waiters.job("job_2") as another:
        task = await scene.waits(waiting)
        scene.waiters.saw(fact)
        assert await task is True
        other = await scene.waits(another)
        scene.timers.advance(10)
        assert await other is False


@pytest.mark.parametrize(
    ("fact", "wakes"),
    [
        (JobEnded(JOB, JobState.FAILED), True),
        (JobMoved(JOB.id, JOB.caller_id), True),
        (replace(SENT, to=DeliveryState.DEAD), True),
        (SWEPT, True),
        (EndpointSwitched(replace(ENDPOINT, caller_id=JOB.caller_id)), True),
        (replace(SENT, job_id=None, event_type="ping"), True),
        (SENT, False),
        (JobAccepted(JOB, handed_off=True), False),
        (LoopIdle("jobs"), False),
    ],
)
async def test_what_may_be_an_event_wakes_those_who_follow_the_feed(
    scene: Scene, fact: Fact, wakes: bool
) -> None:
    for caller_id in (JOB.caller_id, None):
        with scene.waiters.caller(caller_id) as waiting:
            task = await scene.waits(waiting)
            scene.waiters.saw(fact)
            scene.timers.advance(10)
            assert await task is wakes
    with scene.waiters.caller("clr_other") as waiting:
        task = await scene.waits(waiting)
        scene.waiters.saw(fact)
        scene.timers.advance(10)
        assert await task is False


async def test_what_happens_while_one_reads_is_not_missed(scene: Scene) -> None:
    with scene.waiters.job(JOB.id) as waiting:
        scene.waiters.saw(JobMoved(JOB.id, JOB.caller_id))  # registered, and about to read
        assert await waiting.wait(10) is True
        task = await scene.waits(waiting)
        scene.waiters.saw(JobMoved(JOB.id, JOB.caller_id))
        scene.waiters.saw(JobMoved(JOB.id, JOB.caller_id))  # before it came to run
        assert await task is True
        assert await waiting.wait(10) is True
        task = await scene.waits(waiting)
        scene.timers.advance(10)
        assert await task is False


async def test_who_has_left_is_forgotten(scene: Scene) -> None:
    for _ in range(3):
        with scene.waiters.job(JOB.id) as waiting, scene.waiters.caller(None) as follower:
            for each in (waiting, follower):
                task = await scene.waits(each)
                task.cancel()
                await asyncio.wait((task,))
    assert (scene.waiters._jobs, scene.waiters._callers) == ({}, {})
    assert scene.timers.next_in is None


async def test_at_the_end_everyone_is_woken_and_nobody_waits_any_more(scene: Scene) -> None:
    with scene.waiters.job(JOB.id) as waiting, scene.waiters.caller(None) as follower:
        tasks = [await scene.waits(waiting), await scene.waits(follower)]
        scene.waiters.close()
        assert await asyncio.gather(*tasks) == [True, True]
        assert await waiting.wait(10) is True
        assert await follower.wait(10) is True


async def test_a_fact_looks_at_nothing_while_nobody_waits(scene: Scene) -> None:
    class Untouchable(JobEnded, frozen=True):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

    scene.waiters.saw(Untouchable(JOB, JobState.FAILED))


# --- Progress that is stored nowhere -----------------------------------------------------------


async def test_progress_is_kept_for_those_who_listen_the_latest_of_each_job(scene: Scene) -> None:
    later = replace(JOB, progress=Progress(2, 10))
    with (
        scene.waiters.caller(JOB.caller_id, live=True) as listener,
        scene.waiters.caller(JOB.caller_id) as reader,
    ):
        for job in (PROGRESS, later):
            scene.waiters.saw(JobMoved(job.id, job.caller_id, job))
        assert listener.take_live() == [later]
        assert listener.take_live() == []
        assert reader.take_live() == []
        scene.waiters.saw(JobMoved(JOB.id, JOB.caller_id, PROGRESS))
        scene.waiters.saw(JobEnded(JOB, JobState.SUCCEEDED))
        assert listener.take_live() == []  # its last event says all


async def test_of_too_many_jobs_none_is_kept(scene: Scene) -> None:
    with scene.waiters.caller(None, live=True) as listener:
        for number in range(LIVE_JOBS + 10):
            job = replace(PROGRESS, id=f"job_{number}")
            scene.waiters.saw(JobMoved(job.id, job.caller_id, job))
        assert len(listener.take_live()) == LIVE_JOBS


# --- What others did ---------------------------------------------------------------------------


async def test_one_look_wakes_those_who_have_seen_less(scene: Scene) -> None:
    store = Store()
    store.jobs = {"job_a": 2, "job_b": 5}
    store.feeds = {"clr_a": "7"}
    with (
        scene.waiters.job("job_a") as behind,
        scene.waiters.job("job_b") as even,
        scene.waiters.job("job_gone") as gone,
        scene.waiters.job("job_new") as unread,
        scene.waiters.caller("clr_a") as feed_behind,
        scene.waiters.caller(None) as feed_even,
    ):
        behind.seen, even.seen, gone.seen = 1, 5, 3
        feed_behind.seen, feed_even.seen = "6", "0"
        everyone = (behind, even, gone, unread, feed_behind, feed_even)
        tasks = [await scene.waits(each) for each in everyone]
        await scene.waiters.look(store)
        scene.timers.advance(10)
        assert await asyncio.gather(*tasks) == [True, False, True, False, True, False]
    assert store.asked == [(4, 2)]


async def test_a_look_asks_for_many_in_parts_and_for_nobody_nothing(scene: Scene) -> None:
    store = Store()
    await scene.waiters.look(store)
    assert store.asked == []
    many = [scene.waiters.job(f"job_{number}") for number in range(2 * POLL_JOBS + 1)]
    for each in many:
        each.__enter__()
    with scene.waiters.caller(None):
        await scene.waiters.look(store)
    assert store.asked == [(POLL_JOBS, 1), (POLL_JOBS, 0), (1, 0)]


async def test_it_looks_again_and_again_and_tells_of_a_store_that_fails_once(scene: Scene) -> None:
    store, observer = Store(), RecordingObserver()
    watching = asyncio.create_task(scene.waiters.watch(store, observer))

    async def looks(count: int) -> None:
        async with asyncio.timeout(60):
            while len(store.asked) < count:
                await asyncio.sleep(0)
                if scene.timers.next_in is not None:
                    scene.timers.advance(POLL_SECONDS)

    try:
        with scene.waiters.job(JOB.id):
            await looks(1)
            store.fails = True
            await looks(3)
            store.fails = False
            await looks(5)
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
    assert [type(fact) for fact in observer.facts] == [StoreFailed, StoreRecovered]


async def test_a_defect_does_not_end_the_looks(scene: Scene) -> None:
    class Broken(Store):
        async def heads(self, job_ids: Sequence[str], caller_ids: Collection[str | None]) -> Heads:
            if not self.asked:
                self.asked.append((0, 0))
                raise KeyError("a defect")
            return await super().heads(job_ids, caller_ids)

    store, observer = Broken(), RecordingObserver()
    watching = asyncio.create_task(scene.waiters.watch(store, observer))
    try:
        with scene.waiters.job(JOB.id):
            async with asyncio.timeout(60):
                while len(store.asked) < 2:
                    await asyncio.sleep(0)
                    if scene.timers.next_in is not None:
                        scene.timers.advance(POLL_SECONDS)
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
    (failed,) = observer.all(LoopFailed)
    assert failed.loop == "waiting"


# --- What is held back -------------------------------------------------------------------------


async def test_who_can_not_be_shown_all_yet_is_woken_soon_and_more_and_more_slowly(
    scene: Scene,
) -> None:
    """An event was committed beside a transaction that goes on: nobody else will tell of it."""
    store = Store()
    store.feeds = {"clr_a": "6"}
    observer = RecordingObserver()
    watching = asyncio.create_task(scene.waiters.watch(store, observer))

    async def look() -> float:
        """The next look at what is held back: after how long it came."""
        count, waited = len(store.asked), 0.0
        async with asyncio.timeout(60):
            while len(store.asked) == count:
                await asyncio.sleep(0)
                if len(store.asked) == count:
                    scene.timers.advance(HELD_BACK_SECONDS)
                    waited += HELD_BACK_SECONDS
        return round(waited / HELD_BACK_SECONDS)

    try:
        with scene.waiters.caller("clr_a") as reader, scene.waiters.caller(None) as other:
            await asyncio.sleep(0)
            other.read(FeedPage((), "6", more=False))
            reader.read(FeedPage((), "6", more=False, held_back=True))
            waits = await scene.waits(reader, 60.0)
            times = [await look() for _ in range(4)]
            assert times == sorted(times)
            assert (times[0] <= 2, times[-1] >= 6) == (True, True)
            assert not waits.done()
            store.feeds["clr_a"] = "7"
            await look()
            assert await waits
            assert set(store.asked) == {(0, 1)}  # of those alone who have to hurry
            reader.read(FeedPage((), "7", more=False, held_back=True))
            assert await look() <= 2  # not as late as it had become
            reader.read(FeedPage((), "8", more=False))
            asked = len(store.asked)
            for _ in range(100):
                await asyncio.sleep(0)
                scene.timers.advance(HELD_BACK_SECONDS)
            assert len(store.asked) == asked
    finally:
        watching.cancel()
        await asyncio.wait((watching,))
    assert observer.facts == []


# --- Places ------------------------------------------------------------------------------------


def test_places_end_for_one_and_for_all() -> None:
    places = Places(3, 2)
    assert [places.take("a") for _ in range(3)] == [True, True, False]
    assert places.own("a") == 2
    assert [places.take("b") for _ in range(2)] == [True, False]
    places.give("a")
    assert (places.taken, places.own("a"), places.take("b")) == (2, 1, True)
    places.give("a")
    places.give("b")
    places.give("b")
    assert (places.taken, places._own) == (0, {})


def test_of_an_attempt_the_facts_come_after_each_other() -> None:
    """What `OF_THE_JOB` is made of is of one job."""
    assert isinstance(ENDED, JobAttemptEnded)
    assert {SENT.job_id, DELIVERY.job_id, ENDED.job.id} == {JOB.id}
