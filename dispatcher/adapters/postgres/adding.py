"""Adding jobs, with idempotency and hand-off: a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from dispatcher.adapters.postgres import lanes
from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.bounds import Running, lock_bounds
from dispatcher.adapters.postgres.lanes import Coming, lane_of
from dispatcher.adapters.postgres.opening import Opening, begin
from dispatcher.adapters.postgres.ordering_keys import Keys
from dispatcher.adapters.postgres.pausing import Standing
from dispatcher.adapters.postgres.registered import with_asked
from dispatcher.adapters.postgres.rooms import WaitRooms
from dispatcher.adapters.postgres.rows import columns, job_of, job_row
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.after import after_hand_off
from dispatcher.core.changes import LeasedJob
from dispatcher.core.lifecycle import late_at
from dispatcher.core.model import Instant, Job, JobState
from dispatcher.core.ordering import KeyPlace
from dispatcher.ports.records import (
    Added,
    AddResult,
    Concurrency,
    Idempotency,
    KeyReused,
    KeySpent,
    NewJob,
    NoRoom,
    Replayed,
)

_JOBS_ADD = statement("jobs_add")
_KEYS_ADD = statement("idempotency_add")
_KEYS_FIND = statement("idempotency_find")
_KEYS_DROP = statement("idempotency_drop")


async def add_jobs(session: Session, entries: Sequence[Entry[NewJob]]) -> list[AddResult]:
    """Add jobs, but those whose key was used before."""
    news = [entry.item for entry in entries]
    opening = await begin(session, news)
    keys = await _Used.take(session, news)
    wanted = [new for n, new in enumerate(news) if n not in keys.known]
    inserted = await _insert(session, wanted, opening)
    added = {new.job.id: answer for new, answer in zip(wanted, inserted, strict=True)}
    refused = [new for new in wanted if isinstance(added[new.job.id], NoRoom)]
    await _drop_keys(session, refused)
    answers: list[AddResult] = []
    for n, new in enumerate(news):
        known = keys.known.get(n)
        answers.append(added[new.job.id] if known is None else known.answer(added))
    return answers


# --- keys --------------------------------------------------------------------------------------


class _Known(Struct, frozen=True):
    """A key that was used: by a job that is there (`job`), one that was erased, or of the batch."""

    same: bool
    job: Job | None
    job_id: str

    def answer(self, added: Mapping[str, Added | NoRoom]) -> AddResult:
        job = self.job
        if job is None:
            first = added.get(self.job_id)
            if isinstance(first, NoRoom):
                return first  # as if it had come alone
            job = None if first is None else first.job
        if not self.same:
            return KeyReused()
        return KeySpent() if job is None else Replayed(job)


class _Used:
    """Which of a batch had used their keys before, by position."""

    def __init__(self) -> None:
        self.known: dict[int, _Known] = {}

    @classmethod
    async def take(cls, session: Session, news: Sequence[NewJob]) -> _Used:
        """Write the keys that are new: of two stores at once, the other waits here and finds it."""
        keys = cls()
        firsts: dict[tuple[str, str], NewJob] = {}
        for n, new in enumerate(news):
            key = new.idempotency
            if key is None:
                continue
            first = firsts.setdefault((new.job.caller_id, key.key), new)
            if first is not new and first.idempotency is not None:
                same = first.idempotency.digest == key.digest
                keys.known[n] = _Known(same=same, job=None, job_id=first.job.id)
        if firsts:
            before = await _taken_before(session, firsts)
            for n, new in enumerate(news):
                key = new.idempotency
                found = None if key is None else before.get((new.job.caller_id, key.key))
                if key is not None and found is not None:
                    job, job_id, digest = found
                    keys.known[n] = _Known(same=digest == key.digest, job=job, job_id=job_id)
        return keys


async def _taken_before(
    session: Session, firsts: dict[tuple[str, str], NewJob]
) -> dict[tuple[str, str], tuple[Job | None, str, bytes]]:
    """Write keys; gives the jobs (None: erased), their ids and digests of those in force before."""
    pairs = sorted(firsts)
    rows = [_key_row(firsts[pair]) for pair in pairs]
    mine = {
        (row[0], row[1]) for row in await session.fetch(_KEYS_ADD, *columns(rows, 5), session.now)
    }
    others = [pair for pair in pairs if pair not in mine]
    if not others:
        return {}
    found = await session.fetch(_KEYS_FIND, [p[0] for p in others], [p[1] for p in others])
    return {
        (row[0], row[1]): (None if row[4] is None else job_of(row[4:]), row[3], row[2])
        for row in found
    }


async def _drop_keys(session: Session, refused: Sequence[NewJob]) -> None:
    """Leave no key of what was not taken in."""
    rows = [
        (new.job.caller_id, new.idempotency.key, new.job.id)
        for new in refused
        if new.idempotency is not None
    ]
    if rows:
        await session.execute(_KEYS_DROP, *columns(rows, 3))


def _key_row(new: NewJob) -> tuple[str, str, bytes, str, Instant]:
    key = new.idempotency or Idempotency("", b"", 0)
    return new.job.caller_id, key.key, key.digest, new.job.id, key.expires_at


# --- jobs --------------------------------------------------------------------------------------


async def _insert(
    session: Session, news: Sequence[NewJob], opening: Opening
) -> list[Added | NoRoom]:
    """Write jobs, each leased or waiting; those for which there is no room are left out."""
    if not news:
        return []
    keys = await Keys.lock(session, [new.job for new in news])
    offered = [new for new in news if new.hand_off is not None]
    offers = await _Offers.look(session, offered, opening)
    rooms = await WaitRooms.look(session, news)
    coming = Coming()
    placed: list[_Placed | NoRoom] = []
    for new in news:
        place = keys.place(new.job, session.now)
        job = new.job
        if offers.may_run_now(session, new, place):
            job = after_hand_off(job, session.now)
            offers.running.begins(job)
        else:
            full = rooms.full(new)
            if full is not None:
                placed.append(NoRoom(full))
                continue
            rooms.take(new)
            due_at = None if place is KeyPlace.BEHIND else job.due_at
            coming.add(lane_of(job), due_at, len(new.input))
            offers.waits(job, place, session.now)
        keys.take(job, place)
        placed.append(_Placed(new, job, place))
    seqs = await coming.wait(session)
    rows = [each.row(seqs) for each in placed if isinstance(each, _Placed)]
    if rows:
        callers = list({new.job.caller_id for new in news})
        asked = await session.fetch(_JOBS_ADD, rows, callers)
        session.witnesses.append(Witness(Kind.JOB, rows[0][0]))
    await keys.forget(session)
    answers = [each.answer() if isinstance(each, _Placed) else each for each in placed]
    for answer in answers:
        if isinstance(answer, Added) and answer.leased is not None:
            session.remembered.keep_job(answer.leased)
    if rows and asked:  # of callers with endpoints
        events = dict(map(tuple, asked))
        return [with_asked(answer, events) for answer in answers]
    return answers


class _Placed(Struct, frozen=True):
    """A job as it is added, and where it stands in the order of its key."""

    new: NewJob
    job: Job
    place: KeyPlace

    @property
    def _lease(self) -> str | None:
        return self.new.hand_off.lease if self._runs and self.new.hand_off else None

    @property
    def _runs(self) -> bool:
        return self.job.state is JobState.RUNNING

    def row(self, lanes_of: Mapping[lanes.Lane, int]) -> tuple[Any, ...]:
        """Its row, with its input; one that is handed off has never been in a lane."""
        holder = self.new.hand_off.holder_id if self._runs and self.new.hand_off else None
        lane_seq = None if self._runs else lanes_of[lane_of(self.job)]
        return (*job_row(self.job, lane_seq, self._lease, holder, self.place), self.new.input)

    def answer(self) -> Added:
        """What is said of it."""
        lease = self._lease
        return Added(
            self.job, None if lease is None else LeasedJob(self.job, lease, self.new.input)
        )


class _Offers:
    """Whether jobs that ask to be handed off may be: who holds, what waits, what is paused."""

    def __init__(self, standing: Standing, running: Running) -> None:
        self.standing = standing
        self.running = running
        self.busy: set[tuple[str, str]] = set()

    @classmethod
    async def look(cls, session: Session, news: Sequence[NewJob], opening: Opening) -> _Offers:
        """Read who holds, in which queues something is due or paused, and what runs.

        That is read anew if anything was asked since the batch was opened: it may have waited.
        """
        if not news:
            return cls(opening.standing, Running())
        asked = _bounds_of(news)
        await lock_bounds(session, asked)
        running = await Running.count(session, asked)
        if session.asked != opening.asked:
            opening = await begin(session, news)
        queues = cls(opening.standing, running)
        now = session.now
        # A lower bound may be too low, when what waited was ended: then look exactly.
        ready = [e.seq for e in opening.lanes if e.ready_at is not None and e.ready_at <= now]
        exactly = await lanes.next_in(session, ready)
        for lane in opening.lanes:
            if exactly.get(lane.seq) == now:
                queues.busy.add((lane.caller_id, lane.queue))
        return queues

    def may_run_now(self, session: Session, new: NewJob, place: KeyPlace) -> bool:
        """Whether the claim would choose this job now: see `NewJob`."""
        job, now, offer = new.job, session.now, new.hand_off
        if offer is None or offer.holder_id not in self.standing.alive:
            return False
        late = late_at(job)
        if job.due_at > now or (late is not None and late <= now):
            return False
        if place not in (KeyPlace.NO_KEY, KeyPlace.FRONT) or self.standing.is_paused(job.queue):
            return False
        if (job.caller_id, job.queue) in self.busy:
            return False
        return self.running.has_room(job, offer.concurrency)

    def waits(self, job: Job, place: KeyPlace, now: Instant) -> None:
        """A job of this batch waits: those that come after it in its queue must not overtake."""
        late = late_at(job)
        if place is not KeyPlace.BEHIND and job.due_at <= now and (late is None or late > now):
            self.busy.add((job.caller_id, job.queue))


def _bounds_of(news: Sequence[NewJob]) -> list[Concurrency]:
    """What bounds those jobs that ask to be handed off: of all that is bounded their own alone."""
    asked = []
    for new in news:
        if new.hand_off is not None:
            most, job = new.hand_off.concurrency, new.job
            types = {job.type: most.types[job.type]} if job.type in most.types else {}
            queues = {job.queue: most.queues[job.queue]} if job.queue in most.queues else {}
            if types or queues:
                asked.append(Concurrency(types, queues))
    return asked
