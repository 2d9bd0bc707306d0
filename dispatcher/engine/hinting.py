"""Telling other processes by hints of what happened here, and acting on theirs: by reading again.

What a hint leads to could as well happen without one, a few seconds later: `ports/hints.py` says
why it must.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, assert_never

from dispatcher.core.errors import StoreError
from dispatcher.core.facts import (
    ActionAudited,
    CancelAsked,
    DeliveriesReady,
    DeliveryAttemptEnded,
    DeliveryCancelAsked,
    DeliverySwept,
    EndpointSwitched,
    Fact,
    JobAttemptEnded,
    JobEnded,
    JobMoved,
    JobsReady,
    Redelivered,
    SecretsChanged,
)
from dispatcher.core.model import DeliveryState, Instant, Job
from dispatcher.engine.audit import hint_of
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.commit import pause
from dispatcher.engine.run import StopReason
from dispatcher.engine.supervisor import Engine
from dispatcher.engine.terms import EngineTerms
from dispatcher.engine.waiters import Waiters
from dispatcher.ports.hints import Hint, Hints, Topic
from dispatcher.ports.store import Store
from dispatcher.ports.system import Clock, Timers

TYPES_SECONDS: Final = 60.0
"""How often the types that others declare are read, whether or not a hint said so."""

AGAIN_SECONDS: Final = 5.0
"""After this they are read again, if they could not be: till then jobs of new ones are refused."""


class Telling:
    """Implements `ports.observer.Observer`: what others may want to look at becomes a hint."""

    def __init__(self, hints: Hints, terms: EngineTerms, clock: Clock) -> None:
        self._publish = hints.publish
        self._limited = terms.concurrency
        self._soon_ms = round(terms.poll_seconds * 1000)
        self._clock = clock

    def saw(self, fact: Fact) -> None:  # noqa: C901, PLR0912  # one case a fact
        """See `Observer.saw`."""
        match fact:
            case JobEnded(job=job):
                self._publish(Topic.JOB, job.id)
                self._publish(Topic.EVENTS, job.caller_id)
                self._made_room(job)
            case JobAttemptEnded(job=job):
                self._publish(Topic.JOB, job.id)
                self._made_room(job)
            case JobMoved(job_id=job_id, caller_id=caller_id, live=live):
                self._publish(Topic.JOB, job_id)
                if live is None:
                    self._publish(Topic.EVENTS, caller_id)
                else:
                    self._publish(Topic.PROGRESS, job_id)
            case JobsReady(at=at, job_type=job_type):
                if self._is_soon(at):
                    self._publish(Topic.WORK, job_type or "")
            case DeliveriesReady(at=at):
                if self._is_soon(at):
                    self._publish(Topic.SENDING)
            case CancelAsked(job=job):
                self._publish(Topic.CANCEL, job.id)
                self._publish(Topic.JOB, job.id)
            case DeliveryAttemptEnded(job_id=job_id, caller_id=caller_id, to=to):
                self._delivery_moved(job_id, caller_id, to)
            case DeliverySwept(delivery=delivery, to=to):
                self._delivery_moved(delivery.job_id, delivery.caller_id, to)
            case Redelivered(delivery=delivery) | DeliveryCancelAsked(delivery=delivery):
                self._delivery_moved(delivery.job_id, delivery.caller_id, delivery.state)
            case EndpointSwitched(endpoint=endpoint):
                self._publish(Topic.EVENTS, endpoint.caller_id)
            case SecretsChanged(endpoint_id=endpoint_id):
                self._publish(Topic.ENDPOINT, endpoint_id)
            case ActionAudited(entry=entry):
                hint = hint_of(entry)
                if hint is not None:
                    self._publish(*hint)
            case _:
                pass

    def _is_soon(self, at: Instant | None) -> bool:
        """Whether it is due before others look by themselves, and learn when it is."""
        return at is None or at <= self._clock.now() + self._soon_ms

    def _made_room(self, job: Job) -> None:
        """Of what has a limit over all processes, more may run now: on any of them."""
        if job.type in self._limited.types or job.queue in self._limited.queues:
            self._publish(Topic.WORK)

    def _delivery_moved(self, job_id: str | None, caller_id: str, to: DeliveryState) -> None:
        if job_id is not None:
            self._publish(Topic.JOB, job_id)
        if job_id is None or to is DeliveryState.DEAD:
            self._publish(Topic.EVENTS, caller_id)


class Hearing:
    """Acts on the hints of others."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        waiters: Waiters,
        catalog: Catalog,
        *,
        types: frozenset[str],
        forget: Callable[[str | None], None],
        timers: Timers,
    ) -> None:
        """`types` are those that run here.

        `forget` has what is known of a caller or an endpoint (None: of all, and of the service)
        read anew.
        """
        self._engine = engine
        self._store = store
        self._waiters = waiters
        self._catalog = catalog
        self._types = types
        self._forget = forget
        self._timers = timers
        self._reading: dict[Hint, asyncio.Task[None]] = {}
        self._types_hinted = asyncio.Event()
        self._again: set[Hint] = set()

    def hear(self, hint: Hint) -> None:  # noqa: C901, PLR0912  # one case a topic
        """See `ports.hints.Hear`."""
        match hint.topic:
            case Topic.JOB:
                self._waiters.ring_job(hint.id)
            case Topic.EVENTS:
                self._waiters.ring_caller(hint.id)
            case Topic.PROGRESS:
                if self._waiters.streams_live:
                    self._read(hint, partial(self._show_progress, hint.id))
            case Topic.WORK:
                self._work(hint.id)
            case Topic.SENDING:
                self._engine.deliveries.loop.wake()
            case Topic.CANCEL:
                if self._engine.jobs.runs(hint.id):
                    self._read(hint, partial(self._stop_if_asked, hint.id))
            case Topic.CALLER:
                self._forget(hint.id)
            case Topic.ENDPOINT:
                self._engine.deliveries.forget(hint.id)
            case Topic.SERVICE_KEYS:
                self._forget(None)
            case Topic.TYPES:
                self._look_at_types()
            case Topic.ANYTHING:
                self._look_everywhere()
            case _:
                assert_never(hint.topic)

    def _work(self, job_type: str) -> None:
        jobs = self._engine.jobs
        if not job_type or job_type in self._types:
            jobs.loop.wake()
        if not job_type or job_type in self._engine.remote.types:
            jobs.on_ready(None)

    def _look_everywhere(self) -> None:
        """What was asked to cancel is found by the sweep."""
        self._waiters.look_soon()
        self._work("")
        self._engine.deliveries.loop.wake()
        self._forget(None)
        self._look_at_types()

    async def _show_progress(self, job_id: str) -> None:
        record = await self._store.get_job(job_id, None)
        if record is not None and not record.job.done:
            self._waiters.tell_live(record.job)

    async def _stop_if_asked(self, job_id: str) -> None:
        record = await self._store.get_job(job_id, None)
        if record is not None and record.job.cancel_requested_at is not None:
            self._engine.jobs.stop(job_id, StopReason.CANCEL)

    async def learn_types(self) -> None:
        """Know the types that others declared in the store. Raises `StoreError`."""
        self._catalog.learn(await self._store.list_types())

    async def keep_types(self) -> None:
        """Learn them again and again; never ends."""
        while True:
            await pause(self._timers, TYPES_SECONDS)
            self._look_at_types()

    def _look_at_types(self) -> None:
        self._types_hinted.set()
        self._read(Hint(Topic.TYPES), self._learn_types_at_last)

    async def _learn_types_at_last(self) -> None:
        """Learn them, as soon as the store can be read: a hint of new ones comes once."""
        while True:
            self._types_hinted.clear()
            try:
                return await self.learn_types()
            except StoreError:
                await self._hinted_or_later()

    async def _hinted_or_later(self) -> None:
        """Wait until a hint comes, or for `AGAIN_SECONDS`: it may be that the store is back."""
        alarm = self._timers.after(AGAIN_SECONDS, self._types_hinted.set)
        try:
            await self._types_hinted.wait()
        finally:
            alarm.cancel()

    def _read(self, hint: Hint, look: Callable[[], Awaitable[None]]) -> None:
        """Read what a hint leads to; if it comes again meanwhile, once more after that."""
        if hint in self._reading:
            self._again.add(hint)
            return
        self._reading[hint] = asyncio.get_running_loop().create_task(self._look(hint, look))

    async def _look(self, hint: Hint, look: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                self._again.discard(hint)
                await _quietly(look)
                if hint not in self._again:
                    return
        finally:  # not once the task is done: that is a turn of the loop later, and one may come
            self._reading.pop(hint, None)
            self._again.discard(hint)

    async def close(self) -> None:
        """Read no more."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(look: Callable[[], Awaitable[None]]) -> None:
    """A store that can't be read now is told of by whatever else reads it; hints may be lost."""
    with contextlib.suppress(StoreError):
        await look()
