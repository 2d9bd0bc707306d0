"""Waiting for something to happen to a job or in a feed, without asking the store again and again.

Whoever waits registers first and reads then, so that nothing falls in between; is woken by the
facts of this process; and reads again. What other processes do shows by one slow look for all who
wait (`watch`), or at once if somebody passes on their hints (`ring_job`, `ring_caller`). A wake-up
says only that it may be worth to read: it can be for nothing.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from math import inf
from types import TracebackType
from typing import Final, Self, TypeVar

from dispatcher.core.errors import StoreError
from dispatcher.core.facts import (
    CancelAsked,
    DeliveryAttemptEnded,
    DeliveryCancelAsked,
    DeliverySwept,
    EndpointSwitched,
    Fact,
    JobAttemptEnded,
    JobEnded,
    JobMoved,
    LoopFailed,
    Redelivered,
    StoreFailed,
    StoreRecovered,
)
from dispatcher.core.model import DeliveryState, Job
from dispatcher.ports.observer import Observer
from dispatcher.ports.readers import FeedReader
from dispatcher.ports.system import Timers
from dispatcher.ports.views import FeedPage

POLL_SECONDS: Final = 5.0
"""How often the store is asked, once for all, whether something was missed."""

HELD_BACK_SECONDS: Final = 0.02
"""How soon the store is asked, once for all, while something is held back from a reader of a feed.

Twice as late each time it is so still, up to `POLL_SECONDS`.
"""

POLL_JOBS: Final = 1_000
"""How many jobs are asked for in one question; others have their turn in between."""

LIVE_JOBS: Final = 1_000
"""Of so many jobs the latest progress is kept for one who listens and is slow; of more, none."""

Key = TypeVar("Key", str, str | None)


class Places:
    """Places for what goes on at once: `most` in all, `each` of one caller. Bounds memory."""

    def __init__(self, most: int, each: int) -> None:
        self.most = most
        self.each = each
        self.taken = 0
        self._own: Counter[str] = Counter()

    def own(self, caller_id: str) -> int:
        """How many a caller has taken."""
        return self._own[caller_id]

    def take(self, caller_id: str) -> bool:
        """Take one; False: there is none left, for that caller or at all."""
        if self.taken >= self.most or self._own[caller_id] >= self.each:
            return False
        self.taken += 1
        self._own[caller_id] += 1
        return True

    def give(self, caller_id: str) -> None:
        """Give one back."""
        self.taken -= 1
        self._own[caller_id] -= 1
        if not self._own[caller_id]:
            del self._own[caller_id]


class Waiting:
    """One who waits for a job, or for a caller's feed; registered while it is entered.

    `seen` is what its last read showed: the job's version, or the cursor behind the feed.
    `held_back`: there is more than that, which could not be read yet (`FeedPage`).
    `live` has the jobs that told of progress which is not stored as an event, the latest of each.
    """

    __slots__ = ("_future", "_rung", "_waiters", "caller_id", "held_back", "job_id", "live", "seen")

    def __init__(
        self, waiters: Waiters, job_id: str | None, caller_id: str | None, *, live: bool = False
    ) -> None:
        self._waiters = waiters
        self.job_id = job_id
        self.caller_id = caller_id
        self.seen: int | str | None = None
        self.held_back = False
        self.live: dict[str, Job] | None = {} if live else None
        self._future: asyncio.Future[bool] | None = None
        self._rung = False

    def __enter__(self) -> Self:
        self._waiters.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiters.leave(self)

    def read(self, page: FeedPage) -> None:
        """Note how far a page of the feed went."""
        self.seen = page.next
        self.held_back = page.held_back
        if page.held_back:
            self._waiters.hurry()

    def ring(self) -> None:
        """Wake it; one who does not wait at this moment is told at its next wait."""
        future = self._future
        if future is None or future.done():
            self._rung = True
        else:
            future.set_result(True)

    async def wait(self, seconds: float) -> bool:
        """Wait until it is woken, `seconds` at most; False: the time was up.

        Once the waiters are closed it returns at once.
        """
        if self._rung or self._waiters.closed:
            self._rung = False
            return True
        self._future = asyncio.get_running_loop().create_future()
        alarm = self._waiters.timers.after(seconds, partial(_time_is_up, self._future))
        try:
            return await self._future
        finally:
            alarm.cancel()
            self._future = None

    def take_live(self) -> list[Job]:
        """The jobs in `live`, which is empty then."""
        if not self.live:
            return []
        jobs = list(self.live.values())
        self.live.clear()
        return jobs


def _time_is_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)


class Waiters:
    """All who wait in this process. Implements `ports.observer.Observer`.

    A fact costs next to nothing while nobody waits. `waits` are the places of those who wait for an
    answer, `streams` of those who keep a stream open.
    """

    def __init__(self, timers: Timers, *, waits: Places, streams: Places) -> None:
        self.timers = timers
        self.waits = waits
        self.streams = streams
        self.closed = False
        self._look_now = asyncio.Event()
        self._jobs: dict[str, set[Waiting]] = {}
        self._callers: dict[str | None, set[Waiting]] = {}
        self._failing = False
        self._hurry_seconds = HELD_BACK_SECONDS
        self._resting_for = inf
        self._hurried = asyncio.Event()

    def job(self, job_id: str) -> Waiting:
        """For whoever waits for what is shown of a job to change."""
        return Waiting(self, job_id, None)

    def caller(self, caller_id: str | None, *, live: bool = False) -> Waiting:
        """For whoever waits for events of a caller (None: of anyone), with progress if `live`."""
        return Waiting(self, None, caller_id, live=live)

    def enter(self, waiting: Waiting) -> None:
        """Register one who waits."""
        if waiting.job_id is not None:
            self._jobs.setdefault(waiting.job_id, set()).add(waiting)
        else:
            self._callers.setdefault(waiting.caller_id, set()).add(waiting)

    def leave(self, waiting: Waiting) -> None:
        """Forget it."""
        if waiting.job_id is not None:
            _discard(self._jobs, waiting.job_id, waiting)
        else:
            _discard(self._callers, waiting.caller_id, waiting)

    def close(self) -> None:
        """Wake everyone, and let nobody wait any more: the service shuts down."""
        self.closed = True
        for group in [*self._jobs.values(), *self._callers.values()]:
            for waiting in group:
                waiting.ring()

    # --- what happens --------------------------------------------------------------------------

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        if not self._jobs and not self._callers:
            return
        match fact:
            case JobEnded(job=job):
                self._forget_live(job)
                self.ring_job(job.id)
                self.ring_caller(job.caller_id)
            case JobMoved(job_id=job_id, caller_id=caller_id, live=live):
                if live is not None:
                    self._keep_live(live)
                self.ring_job(job_id)
                self.ring_caller(caller_id)
            case JobAttemptEnded(job=job) | CancelAsked(job=job):
                self.ring_job(job.id)
            case Redelivered(delivery=delivery) | DeliveryCancelAsked(delivery=delivery):
                self._delivery_moved(delivery.job_id, delivery.caller_id, delivery.state)
            case DeliveryAttemptEnded(job_id=job_id, caller_id=caller_id, to=to):
                self._delivery_moved(job_id, caller_id, to)
            case DeliverySwept(delivery=delivery, to=to):
                self._delivery_moved(delivery.job_id, delivery.caller_id, to)
            case EndpointSwitched(endpoint=endpoint):
                self.ring_caller(endpoint.caller_id)
            case _:
                pass

    def ring_job(self, job_id: str) -> None:
        """Wake those who wait for a job."""
        for waiting in self._jobs.get(job_id, ()):
            waiting.ring()

    def ring_caller(self, caller_id: str) -> None:
        """Wake those who follow a caller's events, or everyone's."""
        for waiting in self._callers.get(caller_id, ()):
            waiting.ring()
        for waiting in self._callers.get(None, ()):
            waiting.ring()

    def _delivery_moved(self, job_id: str | None, caller_id: str, to: DeliveryState) -> None:
        if job_id is not None:
            self.ring_job(job_id)
        if job_id is None or to is DeliveryState.DEAD:  # a ping's event, or one that it is dead
            self.ring_caller(caller_id)

    def _keep_live(self, job: Job) -> None:
        for caller_id in (job.caller_id, None):
            for waiting in self._callers.get(caller_id, ()):
                live = waiting.live
                if live is not None and (job.id in live or len(live) < LIVE_JOBS):
                    live[job.id] = job

    def _forget_live(self, job: Job) -> None:
        """Its last event says all."""
        for caller_id in (job.caller_id, None):
            for waiting in self._callers.get(caller_id, ()):
                if waiting.live:
                    waiting.live.pop(job.id, None)

    # --- what others did -----------------------------------------------------------------------

    async def watch(self, store: FeedReader, observer: Observer) -> None:
        """Look again and again, for all who wait at once, for what no fact told; never ends."""
        async with asyncio.TaskGroup() as looks:
            looks.create_task(self._watch(self._until_the_next, self.look, store, observer))
            looks.create_task(self._watch(self._until_held_back, self._go_on, store, observer))

    async def _watch(
        self,
        until: Callable[[], Awaitable[None]],
        look: Callable[[FeedReader], Awaitable[None]],
        store: FeedReader,
        observer: Observer,
    ) -> None:
        while True:
            await until()
            try:
                await look(store)
            except StoreError as error:
                if not self._failing:
                    observer.saw(StoreFailed("waiting", str(error)))
                self._failing = True
            except Exception as error:  # noqa: BLE001  # a defect must not keep those who wait asleep
                detail = f"{type(error).__name__}: {error}"
                observer.saw(LoopFailed("waiting", detail, traceback.format_exc()))
            else:
                if self._failing:
                    observer.saw(StoreRecovered("waiting"))
                self._failing = False

    async def _until_the_next(self) -> None:
        alarm = self.timers.after(POLL_SECONDS, self._look_now.set)
        try:
            await self._look_now.wait()
        finally:
            alarm.cancel()
            self._look_now.clear()

    async def _until_held_back(self) -> None:
        """Wait until something is held back from a reader, and a little longer each time it is."""
        if not any(self._has_more(group) for group in self._callers.values()):
            self._resting_for = inf
            self._hurried.clear()
            await self._hurried.wait()
        self._hurried.clear()
        seconds = self._resting_for = self._hurry_seconds
        self._hurry_seconds = min(seconds * 2, POLL_SECONDS)
        alarm = self.timers.after(seconds, self._hurried.set)
        try:
            await self._hurried.wait()
        finally:
            alarm.cancel()

    async def _go_on(self, store: FeedReader) -> None:
        """Wake those from whom something was held back that can be read now."""
        callers = [each for each, group in self._callers.items() if self._has_more(group)]
        if callers:
            await self._wake_behind(store, [], callers)

    def hurry(self) -> None:
        """Something is held back from one who reads a feed: look soon whether it can be read."""
        self._hurry_seconds = HELD_BACK_SECONDS
        if self._resting_for > HELD_BACK_SECONDS:
            self._hurried.set()

    @staticmethod
    def _has_more(group: set[Waiting]) -> bool:
        return any(waiting.held_back for waiting in group)

    def look_soon(self) -> None:
        """Have `watch` look now: something may have been missed."""
        self._look_now.set()

    @property
    def streams_live(self) -> bool:
        """Whether somebody here is shown progress that no event is stored of."""
        groups = self._callers.values()
        return any(waiting.live is not None for group in groups for waiting in group)

    def tell_live(self, job: Job) -> None:
        """Show the progress of a job to those who follow its caller."""
        self._keep_live(job)
        self.ring_caller(job.caller_id)

    async def look(self, store: FeedReader) -> None:
        """Wake those whose job or feed is further than they have seen."""
        callers = list(self._callers)
        job_ids = list(self._jobs)
        for start in range(0, max(len(job_ids), 1), POLL_JOBS):
            part = list(islice(job_ids, start, start + POLL_JOBS))
            if not part and not callers:
                return
            await self._wake_behind(store, part, callers)
            callers = []

    async def _wake_behind(
        self, store: FeedReader, job_ids: Sequence[str], caller_ids: Sequence[str | None]
    ) -> None:
        heads = await store.heads(job_ids, caller_ids)
        for job_id in job_ids:
            _wake(self._jobs.get(job_id, ()), heads.jobs.get(job_id))
        for caller_id in caller_ids:
            _wake(self._callers.get(caller_id, ()), heads.feeds.get(caller_id))


def _wake(group: set[Waiting] | tuple[()], head: int | str | None) -> None:
    for waiting in group:
        if waiting.seen is not None and waiting.seen != head:
            waiting.ring()


def _discard(groups: dict[Key, set[Waiting]], key: Key, waiting: Waiting) -> None:
    group = groups.get(key)
    if group is not None:
        group.discard(waiting)
        if not group:
            del groups[key]
