"""Doubles for what lies behind the edge: as much of it as the edge can see."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from dispatcher.core.audit import Actor, AuditEntry
from dispatcher.core.errors import NotFound
from dispatcher.core.model import (
    ApiKey,
    Caller,
    Event,
    EventType,
    Instant,
    Job,
    JobState,
    Role,
    ServiceKey,
    Submission,
)
from dispatcher.core.quotas import CallerTerms
from dispatcher.ports.audit import AuditFilter, AuditPage
from dispatcher.ports.records import (
    Added,
    Addition,
    CallerPage,
    CallerRecord,
    Idempotency,
    KeyReused,
    KeySpent,
    Replayed,
    Taken,
)
from dispatcher.ports.views import (
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    DestinationFilter,
    DestinationPage,
    DestinationRecord,
    FeedItem,
    FeedPage,
    Heads,
    JobFilter,
    JobPage,
    JobRecord,
)
from dispatcher.testing.clock import CountingIds, ManualClock
from tests.web.no_endpoints import NoEndpoints

ADA = Caller("clr_" + "a" * 32, "ada", 0)
BOB = Caller("clr_" + "b" * 32, "bob", 0)
OPS = Caller("clr_" + "0" * 32, "ops", 0)

KEYS = {
    "dsp_ada": (ADA, Role.CALLER),
    "dsp_bob": (BOB, Role.CALLER),
    "dsp_ops": (OPS, Role.OPERATOR),
    "dsp_worker": (ADA, Role.WORKER),
}


class Memory(NoEndpoints):
    """What the edge reads: jobs and keys in dicts, put there by the test or by `Taking`."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.deliveries: dict[str, list[DeliveryRecord]] = {}
        self.events: dict[str, list[tuple[Event, bytes | None]]] = {}
        self.keys: dict[bytes, tuple[ApiKey, Caller]] = {}
        self.fails_with: Exception | None = None
        self.look_ups = 0
        self.audited: list[AuditEntry] = []
        self.erased: dict[str, str] = {}
        self.own_keys: list[tuple[ServiceKey, bytes]] = []
        for number, (text, (caller, role)) in enumerate(KEYS.items()):
            key = ApiKey(id=f"key_{number:032x}", caller_id=caller.id, role=role, created_at=0)
            self.keys[hashlib.sha256(text.encode()).digest()] = (key, caller)

    def _job(self, job_id: str, caller_id: str | None) -> JobRecord | None:
        if self.fails_with is not None:
            raise self.fails_with
        record = self.jobs.get(job_id)
        if record is None or caller_id not in (None, record.job.caller_id):
            return None
        return record

    async def get_job(
        self, job_id: str, caller_id: str | None, *, with_input: bool = False
    ) -> JobRecord | None:
        record = self._job(job_id, caller_id)
        if record is None or with_input:
            return record
        return JobRecord(record.job, record.delivery, None, record.result)

    async def get_result(
        self, job_id: str, caller_id: str | None
    ) -> tuple[Job, bytes | None] | None:
        record = self._job(job_id, caller_id)
        return None if record is None else (record.job, record.result)

    async def get_input(self, job_id: str, caller_id: str | None) -> tuple[Job, bytes] | None:
        record = self._job(job_id, caller_id)
        return None if record is None or record.input is None else (record.job, record.input)

    async def was_erased(self, id: str, caller_id: str | None) -> bool:  # noqa: A002  # the port's own word
        return id in self.erased and caller_id in (None, self.erased[id])

    async def list_jobs(self, wanted: JobFilter, *, limit: int, before: int | None) -> JobPage:
        if self.fails_with is not None:
            raise self.fails_with
        rows = list(enumerate(self.jobs.values(), 1))
        found = [
            (number, record)
            for number, record in reversed(rows)
            if (before is None or number < before)
            and wanted.caller_id in (None, record.job.caller_id)
            and wanted.type in (None, record.job.type)
            and wanted.queue in (None, record.job.queue)
            and wanted.correlation_id in (None, record.job.correlation_id)
            and (wanted.created_after is None or record.job.created_at > wanted.created_after)
            and (wanted.created_before is None or record.job.created_at < wanted.created_before)
        ]
        more = len(found) > limit
        return JobPage(
            tuple(record for _, record in found[:limit]), found[limit - 1][0] if more else None
        )

    async def list_deliveries(
        self, wanted: DeliveryFilter, *, limit: int, before: int | None
    ) -> DeliveryPage:
        found = self.deliveries.get(wanted.job_id or "", [])
        return DeliveryPage(tuple(found[:limit]), None)

    async def get_delivery(self, delivery_id: str, caller_id: str | None) -> DeliveryRecord | None:
        if self.fails_with is not None:
            raise self.fails_with
        for record in (each for records in self.deliveries.values() for each in records):
            if record.delivery.id == delivery_id:
                return record if caller_id in (None, record.delivery.caller_id) else None
        return None

    async def list_events(
        self, job_id: str, caller_id: str | None, *, limit: int, after: int
    ) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
        record = self._job(job_id, caller_id)
        if record is None:
            return None
        found = [row for row in self.events.get(job_id, []) if (row[0].sequence or 0) > after]
        return record.job, tuple(found[:limit])

    async def list_feed(
        self,
        caller_id: str | None,
        *,
        after: str | None,
        types: Collection[EventType] | None,
        limit: int,
    ) -> FeedPage:
        if self.fails_with is not None:
            raise self.fails_with
        start = 0 if after is None else int(after or 0)
        items: list[FeedItem] = []
        for number, (event, result) in enumerate(self._everything(), 1):
            fits = caller_id in (None, event.caller_id) and (types is None or event.type in types)
            if number > start and fits and len(items) < limit:
                record = self.jobs.get(event.job_id or "")
                job = None if record is None else record.job
                items.append(FeedItem(event, job, result, str(number)))
        full = len(items) == limit
        end = items[-1].cursor if full else str(max(start, len(self._everything())))
        return FeedPage(tuple(items), end, more=full, gap=after == "")

    async def heads(self, job_ids: Sequence[str], caller_ids: Collection[str | None]) -> Heads:
        jobs = {each: self.jobs[each].job.version for each in job_ids if each in self.jobs}
        return Heads(jobs, dict.fromkeys(caller_ids, str(len(self._everything()))))

    def _everything(self) -> list[tuple[Event, bytes | None]]:
        return [row for rows in self.events.values() for row in rows]

    async def find_key(self, digest: bytes) -> tuple[ApiKey, Caller] | None:
        self.look_ups += 1
        if self.fails_with is not None:
            raise self.fails_with
        return self.keys.get(digest)

    async def find_caller(self, name_or_id: str) -> Caller | None:
        known = (ADA, BOB, OPS)
        return next((each for each in known if name_or_id in (each.id, each.name)), None)

    # What operators do about callers is tried on a real store (`test_callers.py`).

    async def add_caller(
        self,
        caller: Caller,
        key: ApiKey,
        digest: bytes,
        sealed: bytes,
        entry: AuditEntry | None = None,
    ) -> bool:
        raise NotImplementedError

    async def get_caller(self, caller_id: str) -> CallerRecord | None:
        return None

    async def set_terms(
        self,
        caller_id: str,
        before: CallerTerms,
        after: CallerTerms,
        entry: AuditEntry | None = None,
    ) -> bool:
        raise NotImplementedError

    async def add_audit(self, entry: AuditEntry) -> bool:
        if any(entry.id == each.id for each in self.audited):
            return False
        self.audited.append(entry)
        return True

    async def list_destinations(
        self, wanted: DestinationFilter, *, limit: int, before: int | None
    ) -> DestinationPage:
        return DestinationPage((), None)

    async def get_destination(self, destination_id: str) -> DestinationRecord | None:
        return None

    async def list_audit(self, wanted: AuditFilter, *, limit: int, before: int | None) -> AuditPage:
        return AuditPage((), None)

    async def list_callers(self, *, limit: int, before: int | None) -> CallerPage:
        return CallerPage((), None)

    async def add_key(
        self, key: ApiKey, digest: bytes, entry: AuditEntry | None = None
    ) -> Addition:
        return Addition.NO_CALLER

    async def revoke_key(
        self, caller_id: str, key_id: str, entry: AuditEntry | None = None
    ) -> bool:
        return False

    async def sealed_secrets(self, caller_id: str) -> list[bytes]:
        raise NotImplementedError

    async def rotate_secret(
        self,
        caller_id: str,
        sealed: bytes,
        created_at: Instant,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> Addition:
        raise NotImplementedError

    async def service_keys(self) -> list[tuple[ServiceKey, bytes]]:
        self.look_ups += 1
        if self.fails_with is not None:
            raise self.fails_with
        return self.own_keys

    async def add_service_key(self, key: ServiceKey, sealed: bytes) -> bool:
        raise NotImplementedError

    async def rotate_service_key(
        self,
        key: ServiceKey,
        sealed: bytes,
        *,
        overlap_seconds: float,
        entry: AuditEntry | None = None,
    ) -> bool:
        raise NotImplementedError


class Erasing:
    """Erases from `Memory` what is done."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.refuses_with: Exception | None = None
        self.asked: list[tuple[str, bool]] = []

    async def erase(
        self,
        job_id: str,
        caller_id: str | None,
        actor: Actor | None = None,
        *,
        cancel_deliveries: bool = False,
    ) -> None:
        self.asked.append((job_id, cancel_deliveries))
        if self.refuses_with is not None:
            raise self.refuses_with
        record = await self._memory.get_job(job_id, caller_id)
        if record is None:
            if await self._memory.was_erased(job_id, caller_id):
                return
            raise NotFound("job", job_id)
        self._memory.erased[job_id] = record.job.caller_id
        del self._memory.jobs[job_id]


class Taking:
    """Takes submissions into `Memory` as `engine.accept` takes them into the store."""

    def __init__(self, memory: Memory, clock: ManualClock, ids: CountingIds) -> None:
        self._memory = memory
        self._clock = clock
        self._ids = ids
        self._seen: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.submissions: list[Submission] = []
        self.idempotency: Idempotency | None = None

    async def submit(
        self, caller: Caller, submission: Submission, idempotency: Idempotency | None = None
    ) -> Taken:
        if self._memory.fails_with is not None:
            raise self._memory.fails_with
        self.idempotency = idempotency
        if idempotency is not None:
            digest, job_id = self._seen.get((caller.id, idempotency.key), (b"", ""))
            if job_id:
                if digest != idempotency.digest:
                    return KeyReused()
                first = self._memory.jobs.get(job_id)
                return KeySpent() if first is None else Replayed(first.job)
        now = self._clock.now()
        job = Job(
            id=self._ids.new("job"),
            caller_id=caller.id,
            type=submission.type,
            queue=submission.queue,
            priority=submission.priority,
            state=JobState.WAITING,
            attempt_count=0,
            max_attempts=submission.max_attempts,
            timeout_seconds=submission.timeout_seconds,
            retention_seconds=submission.retention_seconds,
            created_at=now,
            due_at=max(now, submission.run_at or 0),
            run_at=submission.run_at,
            start_by=submission.start_by,
            deadline=submission.deadline,
            callback=submission.callback,
            correlation_id=submission.correlation_id,
            metadata=submission.metadata,
            trace=submission.trace,
            ordering_key=submission.ordering_key,
            replay_of=submission.replay_of,
        )
        self.submissions.append(submission)
        self._memory.jobs[job.id] = JobRecord(job, input=submission.input)
        if idempotency is not None:
            self._seen[caller.id, idempotency.key] = (idempotency.digest, job.id)
        return Added(job)

    def forget_keys(self) -> None:
        """As if the day that a key is kept had passed."""
        self._seen.clear()


class PlainVault:
    """Seals by marking whose it is, so that a test can read it."""

    def seal(self, plain: bytes, owner: str) -> bytes:
        return owner.encode() + b"|" + plain

    def open(self, sealed: bytes, owner: str) -> bytes:
        return sealed.removeprefix(owner.encode() + b"|")

    def mask(self, plain: bytes, owner: str) -> bytes:
        return self.seal(plain, owner)

    def unmask(self, masked: bytes, owner: str) -> bytes | None:
        mark = owner.encode() + b"|"
        return masked.removeprefix(mark) if masked.startswith(mark) else None
