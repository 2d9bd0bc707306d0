"""Doubles of what people do by hand, for tests of the edge."""

from __future__ import annotations

from typing import NoReturn

from dispatcher.core.audit import Actor
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import LeaseEnded, NotFound
from dispatcher.core.model import (
    Caller,
    Job,
    Role,
)
from dispatcher.ports.views import (
    Backlog,
    DeliveryRecord,
    DestinationRecord,
    Pauses,
)
from tests.web.doubles import Memory

ADA = Caller("clr_" + "a" * 32, "ada", 0)
BOB = Caller("clr_" + "b" * 32, "bob", 0)
OPS = Caller("clr_" + "0" * 32, "ops", 0)

KEYS = {
    "dsp_ada": (ADA, Role.CALLER),
    "dsp_bob": (BOB, Role.CALLER),
    "dsp_ops": (OPS, Role.OPERATOR),
    "dsp_worker": (ADA, Role.WORKER),
}


class Canceling:
    """Ends waiting jobs at once, and leaves running ones running."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def cancel(self, job_id: str, caller_id: str | None, actor: Actor | None = None) -> Job:
        record = await self._memory.get_job(job_id, caller_id)
        if record is None:
            raise NotFound("job", job_id)
        return record.job


class Steering:
    """Finds deliveries, and leaves them as they are."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def redeliver(
        self, delivery_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        record = await self._memory.get_delivery(delivery_id, caller_id)
        if record is None:
            raise NotFound("delivery", delivery_id)
        return record

    cancel = redeliver


class NoDestinations:
    """Knows no destination."""

    async def pause(self, destination_id: str, actor: Actor) -> DestinationRecord:
        raise NotFound("destination", destination_id)

    resume = pause


_NONE_PAUSED = Pauses(None, {})


class NoQueues:
    """Nothing waits, and nothing is paused."""

    async def overview(self) -> tuple[Backlog, Pauses]:
        return Backlog(at=0), _NONE_PAUSED

    async def pause(self, queue: str | None, actor: Actor) -> Pauses:
        return _NONE_PAUSED

    resume = pause


class NoWork:
    """Workers find nothing to do, and each lease has ended."""

    types = frozenset({"audio.transcribe"})

    async def lease(self, *asked: object, **more: object) -> tuple[LeasedJob, ...]:
        return ()

    async def ended(self, *said: object, **more: object) -> NoReturn:
        raise LeaseEnded

    find = heartbeat = complete = fail = snooze = ended
