"""Delivering callbacks: hand-off or claim, sign, send, classify, decide, one commit."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, Final

import msgspec

from dispatcher.core.changes import RecordAttempt, ReleaseDelivery
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.errors import DispatcherError
from dispatcher.core.facts import (
    DeliveriesReady,
    DeliverySwept,
    EndpointSwitched,
    LoopFailed,
    SendingHeldUp,
    StoreFailed,
)
from dispatcher.core.lifecycle import BEST_EFFORT_EVENTS, decide_delivery
from dispatcher.core.model import (
    Attempt,
    Delivery,
    DeliveryState,
    EventType,
    Instant,
    Job,
    Trace,
)
from dispatcher.core.outcome import NotTried, SendResult, classify, sign_of
from dispatcher.core.payload import callback_body
from dispatcher.core.retry import Schedule
from dispatcher.core.signature import sign
from dispatcher.core.trace import child_of, span_of
from dispatcher.engine.attempted import attempt_of, ended
from dispatcher.engine.commit import Commit
from dispatcher.engine.loop import NO_ROOM, ClaimLoop, later
from dispatcher.engine.places import Places
from dispatcher.engine.secrets import Secrets
from dispatcher.engine.terms import LEASE_MARGIN_SECONDS, EngineTerms, System
from dispatcher.ports.records import LeasedDelivery, Stale
from dispatcher.ports.sender import Callout, Sender
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault

BEST_EFFORT = Schedule((0.0,))
"""Events of a job that are not its last get one attempt."""

READY_SECONDS: Final = LEASE_MARGIN_SECONDS / 2
"""So much of a lease's margin may pass before the sending; the rest is for recording."""

TOLD_CALLERS: Final = 1_000
"""Of more callers than this at once it is not told that their secrets can't be read."""

UNPREPARED_MS = 10_000
"""A delivery that could not be prepared (its secrets can't be read) is tried this much later."""

HELD_UP_SECONDS: Final = 1.0
"""When a delivery is tried again that this machine had no means to send; its place waits too."""

TELL_SECONDS: Final = 60.0
"""That nothing can be sent is told once in so long, and not once a delivery."""

_headers_decoder = msgspec.json.Decoder(dict[str, str])


def schedule_of(
    delivery: Delivery, job: Job | None, default: Schedule, endpoint: Endpoint | None = None
) -> Schedule:
    """The schedule in force: the endpoint's, or the job's, or its caller's; else the default.

    One attempt for best effort, and for a ping, which asks how its receiver answers now.
    """
    if delivery.event_type in BEST_EFFORT_EVENTS or delivery.event_type is EventType.PING:
        return BEST_EFFORT
    if delivery.endpoint_id is not None:
        own = None if endpoint is None else endpoint.own_schedule
    else:
        own = None if job is None or job.callback is None else job.callback.own_schedule
    return default if own is None else own


class _CutShort(Exception):
    """The drain has lost its patience with what is being sent."""


class Deliveries:
    """The deliveries that this process sends."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        vault: Vault,
        commit: Commit,
        *,
        user_agent: str,
        terms: EngineTerms,
        system: System,
    ) -> None:
        self._store = store
        self._sender = sender
        self._secrets = Secrets(store, vault, system.clock, keep_seconds=terms.secrets_seconds)
        self._vault = vault
        self._commit = commit
        self._terms = terms
        self._user_agent = user_agent
        self._clock = system.clock
        self._timers = system.timers
        self._random = system.random
        self._observer = system.observer
        self._unreadable: set[str] = set()
        self._tell_at = 0.0
        self._holding: set[asyncio.Event] = set()
        self._closing = False
        self._cut = False
        self._sending: set[asyncio.Task[Any]] = set()
        self._tasks: dict[asyncio.Task[None], LeasedDelivery] = {}
        self.slots = Places(terms.deliveries_at_once)
        self.loop = ClaimLoop(
            "deliveries",
            self._claim,
            poll_seconds=terms.poll_seconds,
            system=system,
        )
        self.slots.on_free = self.loop.wake

    async def _claim(self) -> Instant | None:
        share, room = self.slots.take_share()
        if share == 0:
            self.slots.wanted = True
            return NO_ROOM
        since = self._clock.monotonic()
        try:
            claimed = await self._store.claim_deliveries(share, self._terms.delivery, room)
            for leased in claimed.deliveries:
                share -= 1
                self.slots.settle(leased.delivery.caller_id)
                self.start(leased, since)
        finally:
            self.slots.give_share(share)
        return claimed.next_at if claimed.deliveries else later(claimed.next_at, self._clock.now())

    def wake(self, at: Instant | None = None) -> None:
        """Something may be claimed now, or at `at`: by this process, or by another."""
        self.loop.wake(at)
        self._observer.saw(DeliveriesReady(at))

    def forget(self, owner: str | None = None) -> None:
        """Look up anew the secrets of a caller or an endpoint; None: of all."""
        self._secrets.forget(owner)

    @property
    def sending(self) -> int:
        """How many attempts are under way here."""
        return len(self._tasks)

    @property
    def held_up(self) -> int:
        """How many places wait since there was nothing to send with."""
        return len(self._holding)

    def start(self, leased: LeasedDelivery, since: float) -> None:
        """Send a leased delivery; its slot was taken before.

        `since` is when the store was asked for it (`Clock.monotonic`): its lease has run ever since
        then at the longest, however late the answer came.
        """
        task = asyncio.get_running_loop().create_task(self._deliver_in_slot(leased, since))
        self._tasks[task] = leased
        task.add_done_callback(self._tasks.pop)

    async def drain(self, seconds: float) -> None:
        """Wait for what is being sent, then give the rest back; nothing more is begun."""
        self._closing = True
        self.slots.close()
        for over in self._holding:
            over.set()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)
        self._cut = True
        for task in list(self._sending):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5.0)

    async def _deliver_in_slot(self, leased: LeasedDelivery, since: float) -> None:
        """Send it, and then whatever is handed on in its slot."""
        try:
            following = await self.deliver(leased, since)
            while following is not None:
                leased, since = following
                following = await self.deliver(leased, since)
        except _CutShort:
            await self._release(leased, self._clock.now())
        except Exception as error:  # noqa: BLE001  # a defect of ours; the lease ends and it is sent again
            detail = f"{type(error).__name__}: {error}"
            where = f"delivery {leased.delivery.id}"
            self._observer.saw(LoopFailed(where, detail, traceback.format_exc()))
        finally:
            self.slots.give(leased.delivery.caller_id)

    async def deliver(
        self, leased: LeasedDelivery, since: float
    ) -> tuple[LeasedDelivery, float] | None:
        """Send one delivery and record what came of it; gives the next for the same destination.

        One that could not be made ready in time is given back unsent: sent now, its lease could end
        under way, and another be sent beside it.
        """
        ready_by = since + READY_SECONDS
        try:
            callout = await self._callout(leased)
        except DispatcherError as error:
            self._tell_unreadable(leased.delivery.caller_id, error)
            await self._release(leased, self._clock.now() + UNPREPARED_MS)
            return None
        self._unreadable.discard(leased.delivery.caller_id)
        if self._clock.monotonic() > ready_by:
            await self._release(leased, self._clock.now())
            return None
        started_at = self._clock.now()
        sent = await self._send(callout)
        if isinstance(sent, NotTried):
            await self._held_up(leased, sent)
            return None
        now = self._clock.now()
        verdict = classify(sent, now)
        attempt = attempt_of(leased.delivery, sent, verdict, started_at)
        change = decide_delivery(
            leased.delivery,
            leased.lease,
            verdict,
            schedule_of(leased.delivery, leased.job, self._terms.schedule, leased.endpoint),
            attempt=attempt,
            now=now,
            jitter=self._random.unit(),
            hand_off=self.slots.to_spare(leased.delivery.caller_id) and not self.loop.stopping,
            sign=sign_of(sent),
        )
        return await self._record(leased, change, attempt)

    def _tell_unreadable(self, caller_id: str, error: DispatcherError) -> None:
        """Tell once a caller, and not once a delivery, that its callbacks can't be signed."""
        if caller_id not in self._unreadable and len(self._unreadable) < TOLD_CALLERS:
            self._unreadable.add(caller_id)
            self._observer.saw(StoreFailed(f"signing for {caller_id}", str(error)))

    async def _send(self, callout: Callout) -> SendResult:
        """Send; only this part of a delivery can be cut short: what came of it must be written."""
        task = asyncio.current_task()
        if task is None or self._cut:
            raise _CutShort
        self._sending.add(task)
        try:
            return await self._sender.send(callout)
        except asyncio.CancelledError:
            if self._cut:
                raise _CutShort from None
            raise  # not by us: the event loop is being torn down
        finally:
            self._sending.discard(task)

    async def _held_up(self, leased: LeasedDelivery, why: NotTried) -> None:
        """Give it back as if it had never been taken: another process may have what is wanting.

        Its place here stays taken for a while: what waits is not claimed in vain.
        """
        now = self._clock.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._observer.saw(SendingHeldUp(why.detail))
        wait = 0.0 if self._closing else HELD_UP_SECONDS
        await self._release(leased, self._clock.now() + round(wait * 1000))
        if not self._closing:
            over = asyncio.Event()
            self._holding.add(over)
            alarm = self._timers.after(HELD_UP_SECONDS, over.set)
            try:
                await over.wait()
            finally:
                alarm.cancel()
                self._holding.discard(over)

    async def _release(self, leased: LeasedDelivery, due_at: Instant) -> None:
        result = await self._commit.apply(ReleaseDelivery(leased.delivery.id, leased.lease, due_at))
        if isinstance(result, Stale):
            return
        if result.canceled:
            self._observer.saw(DeliverySwept(leased.delivery, DeliveryState.CANCELED, leased.job))
        if result.delivery_ready_at is not None:
            self.wake(result.delivery_ready_at)

    async def _record(
        self, leased: LeasedDelivery, change: RecordAttempt, attempt: Attempt
    ) -> tuple[LeasedDelivery, float] | None:
        since = self._clock.monotonic()
        result = await self._commit.apply(change)
        self._observer.saw(ended(leased, change, attempt, result, self._trace(leased)))
        if isinstance(result, Stale):
            return None
        if result.disabled is not None:
            self._observer.saw(EndpointSwitched(result.disabled))
        for changed in result.breakers:
            self._observer.saw(changed)
        if result.delivery_ready_at is not None:
            self.wake(result.delivery_ready_at)
        handed = result.handed[0] if result.handed else None
        if handed is not None and self._closing:
            await self._release(handed, self._clock.now())
            return None
        return None if handed is None else (handed, since)

    async def _callout(self, leased: LeasedDelivery) -> Callout:
        delivery, event, job = leased.delivery, leased.event, leased.job
        endpoint_id = delivery.endpoint_id
        registered = endpoint_id is not None
        body = callback_body(event, job, delivery.url, leased.result, registered=registered)
        owner = delivery.caller_id if endpoint_id is None else endpoint_id
        signing = self._secrets.kept(owner, endpoint=registered)
        if signing is None:
            signing = await self._secrets.look_up(owner, endpoint=registered)
        secrets, keys = signing
        timestamp = self._clock.now() // 1000
        headers = [
            ("webhook-id", event.id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", sign(secrets, event.id, timestamp, body, keys=keys)),
            ("content-type", "application/json"),
            ("user-agent", self._user_agent),
            ("callback-attempt", str(delivery.attempt_count + 1)),
        ]
        headers += self._own_headers(leased)
        return Callout(delivery.url, headers, body, delivery.caller_id)

    def _own_headers(self, leased: LeasedDelivery) -> list[tuple[str, str]]:
        """What the job brought along, and what its callback or the endpoint wants besides."""
        headers: list[tuple[str, str]] = []
        job, endpoint = leased.job, leased.endpoint
        if (trace := self._trace(leased)) is not None:
            headers.append(("traceparent", trace.traceparent))
            if trace.tracestate is not None:
                headers.append(("tracestate", trace.tracestate))
        if job is not None and job.correlation_id is not None:
            headers.append(("correlation-id", job.correlation_id))
        sealed, owner = None, leased.delivery.caller_id
        if leased.delivery.endpoint_id is not None:
            if endpoint is not None:
                sealed, owner = endpoint.sealed_headers, endpoint.id
        elif job is not None and job.callback is not None:
            sealed = job.callback.sealed_headers
        if sealed is not None:
            headers.extend(_headers_decoder.decode(self._vault.open(sealed, owner)).items())
        return headers

    def _trace(self, leased: LeasedDelivery) -> Trace | None:
        """What is sent of the job's trace: as it came, or with this attempt as a span in it."""
        trace = None if leased.job is None else leased.job.trace
        if trace is None or not self._terms.spans:
            return trace
        return child_of(trace, span_of(leased.lease))
