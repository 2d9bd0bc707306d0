"""Which endpoints a batch of changes may owe something to or change, and so has to lock.

Batches of callers without endpoints lock none, and ask nothing to know that: the rows of their jobs
and deliveries say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatcher.adapters.postgres import registered
from dispatcher.adapters.postgres.destinations import Where
from dispatcher.adapters.postgres.registered import where_to
from dispatcher.adapters.postgres.rows import DELIVERY_CALLER, DELIVERY_LEASE, Row
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.changes import (
    Change,
    EndDelivery,
    FinishJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    RecordAttempt,
    Redeliver,
)
from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.ports.records import DeliveryTerms

_PLACES = statement("destinations_of_endpoints")


class Concerned:
    """What was found: callers by the events that they may be told, endpoints that may rest.

    `exclusive`: some endpoint may be changed. `resting`: those that may be disabled.
    """

    __slots__ = ("exclusive", "resting", "told")

    def __init__(self) -> None:
        self.told: dict[str, set[EventType]] = {}
        self.exclusive = False
        self.resting: set[str] = set()

    def tell(self, caller_id: str, *kinds: EventType) -> None:
        """A caller may be told of such events, or its endpoints have to be known."""
        self.told.setdefault(caller_id, set()).update(kinds)


async def lock_endpoints(
    session: Session,
    changes: Sequence[Change],
    jobs: Mapping[str, Row],
    deliveries: Mapping[str, Row],
    terms: DeliveryTerms,
) -> tuple[set[str], set[Where]]:
    """Lock the endpoints that changes of these locked rows may concern: `session.registered`.

    Gives those that may be disabled, and the destinations to be locked because of all that.
    """
    found = Concerned()
    for change in changes:
        match change:
            case FinishJob() | NoteProgress() | NoteOutput() | NoteStarted():
                row = jobs.get(change.job_id)
                kind = _kind(change)
                if row is not None and row["registered"] and kind is not None:
                    found.tell(row["caller_id"], kind)
            case EndDelivery() | Redeliver():
                row = deliveries.get(change.delivery_id)
                if row is not None:
                    _ended(found, change, row)
            case _:
                pass
    tried = [change for change in changes if isinstance(change, RecordAttempt)]
    if tried:
        await _tried(session, found, tried, deliveries, terms)
    await registered.lock(session, found.told, exclusive=found.exclusive)
    return found.resting, await wheres(session, found.told, found.resting)


async def wheres(
    session: Session, told: Mapping[str, Iterable[EventType]], resting: Iterable[str] = ()
) -> set[Where]:
    """Where locked endpoints are owed events of these kinds, by caller; and all of `resting`."""
    known = session.registered
    found = {
        where_to(each)
        for whose, kinds in told.items()
        for kind in kinds
        for each in known.owed(whose, kind)
    }
    wanted = list(resting)
    if wanted:
        found |= {tuple(row) for row in await session.fetch(_PLACES, wanted)}
    return found


def _kind(change: FinishJob | NoteProgress | NoteOutput | NoteStarted) -> EventType | None:
    """The event that a change writes and sends; None: it sends none."""
    match change:
        case FinishJob():
            return TERMINAL_EVENT.get(change.to)
        case NoteProgress():
            return None if change.event_id is None else EventType.JOB_PROGRESS
        case NoteOutput():
            return EventType.JOB_OUTPUT if change.deliver else None
        case NoteStarted():
            return EventType.JOB_STARTED


def _ended(found: Concerned, change: EndDelivery | Redeliver, row: Row) -> None:
    if isinstance(change, Redeliver):
        if row["endpoint_id"] is not None:
            found.tell(row[DELIVERY_CALLER])
    elif change.to is DeliveryState.DEAD:
        found.tell(row[DELIVERY_CALLER], EventType.DELIVERY_DEAD)


async def _tried(
    session: Session,
    found: Concerned,
    changes: Sequence[RecordAttempt],
    deliveries: Mapping[str, Row],
    terms: DeliveryTerms,
) -> None:
    """What attempts may lead to: a death that is told, a stretch of failures, its end.

    A stretch that has begun is not written again, so that an endpoint which fails all the time is
    not locked all the time.
    """
    failing: list[Row] = []
    for change in changes:
        row = deliveries.get(change.delivery_id)
        if row is None or row[DELIVERY_LEASE] != change.lease:
            continue
        if change.to is DeliveryState.DEAD:
            found.tell(row[DELIVERY_CALLER], EventType.DELIVERY_DEAD)
        if row["failing"] is not None and _fails(found, change, row):
            failing.append(row)
    if failing and terms.failing_seconds > 0:
        too_long = await session.look_at_clock() - round(terms.failing_seconds * 1000)
        for row in failing:
            if 0 < row["failing"] <= too_long:
                _may_rest(found, row)


def _fails(found: Concerned, change: RecordAttempt, row: Row) -> bool:
    """Whether an attempt goes on with a stretch of failures that may have become too long."""
    if change.attempt is None:
        return False
    delivered = change.to is DeliveryState.DELIVERED
    if delivered == (row["failing"] > 0):  # a stretch ends, or begins
        found.tell(row[DELIVERY_CALLER])
        found.exclusive = True
    if change.gone:
        _may_rest(found, row)
    return not delivered


def _may_rest(found: Concerned, row: Row) -> None:
    found.tell(row[DELIVERY_CALLER], EventType.ENDPOINT_DISABLED)
    found.exclusive = True
    found.resting.add(row["endpoint_id"])
