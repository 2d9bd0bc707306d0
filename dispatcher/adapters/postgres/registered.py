"""Registered endpoints as a transaction knows them, and their rows.

Whoever owes something to an endpoint has a share of its row's lock, and whoever changes one locks
it, always all of a caller's, in the order of their numbers, after deliveries and before
destinations. So what is read here holds until the commit: nothing is owed to an endpoint that is
being deleted, and nothing is claimed for one that is being disabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from dispatcher.adapters.postgres.rows import ENDPOINT_COLUMNS, Row, as_json
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.endpoints import ASKED_EVENTS, DisabledReason, Endpoint, is_owed
from dispatcher.core.model import EventType
from dispatcher.core.quotas import CallerTerms
from dispatcher.core.retry import Schedule
from dispatcher.ports.records import Added, NoRoom

if TYPE_CHECKING:
    from dispatcher.adapters.postgres.destinations import Where
    from dispatcher.adapters.postgres.session import Session

_TERMS: Final = len(ENDPOINT_COLUMNS)

_LOCK = statement("endpoints_lock")
_SHARE = statement("endpoints_share")
_CALLERS = statement("endpoints_callers")
_BY_ID = statement("endpoints_by_id")

_events: Final = msgspec.json.Decoder(tuple[EventType, ...]).decode
_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_waits: Final = msgspec.json.Decoder(tuple[float, ...]).decode
_terms: Final = msgspec.json.Decoder(CallerTerms).decode

_NOBODY_ASKED: Final[frozenset[EventType]] = frozenset()


class Registered:
    """The endpoints of some callers, under their locks; `exclusive`: they may be changed."""

    __slots__ = ("_of", "exclusive")

    def __init__(self, endpoints: Iterable[Endpoint] = (), *, exclusive: bool = False) -> None:
        self.exclusive = exclusive
        self._of: dict[str, list[Endpoint]] = {}
        for each in endpoints:
            self._of.setdefault(each.caller_id, []).append(each)

    def of(self, caller_id: str) -> tuple[Endpoint, ...]:
        """Those of a caller, oldest first."""
        return tuple(self._of.get(caller_id, ()))

    def owed(self, caller_id: str, kind: EventType) -> tuple[Endpoint, ...]:
        """Those of a caller that get an event."""
        return tuple([each for each in self.of(caller_id) if is_owed(each, kind)])

    def find(self, endpoint_id: str) -> Endpoint | None:
        """One by its id."""
        every = (each for several in self._of.values() for each in several)
        return next((each for each in every if each.id == endpoint_id), None)

    def put(self, endpoint: Endpoint) -> None:
        """One was changed."""
        several = self._of[endpoint.caller_id]
        self._of[endpoint.caller_id] = [
            endpoint if each.id == endpoint.id else each for each in several
        ]


def where_to(endpoint: Endpoint) -> Where:
    """The destination of what an endpoint is owed now."""
    return endpoint.caller_id, endpoint.origin, endpoint.id


async def lock(session: Session, callers: Iterable[str], *, exclusive: bool) -> None:
    """Lock the endpoints of callers until the commit, for `session.registered`.

    `exclusive`: to change them; else they stay as they are.
    """
    wanted = sorted(set(callers))
    rows = await session.fetch(_LOCK if exclusive else _SHARE, wanted) if wanted else ()
    session.registered = Registered(map(endpoint_of, rows), exclusive=exclusive)


async def callers_of(session: Session, endpoint_ids: Iterable[str]) -> list[str]:
    """Whose these endpoints are."""
    return [row[0] for row in await session.fetch(_CALLERS, list(endpoint_ids))]


async def by_id(session: Session, endpoint_ids: Iterable[str | None]) -> Mapping[str, Endpoint]:
    """Endpoints as they are now, those that were deleted too; without any, nothing is asked."""
    wanted = {each for each in endpoint_ids if each is not None}
    if not wanted:
        return {}
    rows = await session.fetch(_BY_ID, list(wanted))
    return {row[1]: endpoint_of(row) for row in rows}


def asked_in(events: str | None) -> frozenset[EventType]:
    """Of the events that are stored only if somebody asks, those that some endpoint gets.

    `events` are the JSON arrays of the enabled ones, one after another; None: there is none.
    """
    if events is None:
        return _NOBODY_ASKED
    return frozenset(kind for kind in ASKED_EVENTS if f'"{kind.value}"' in events)


def with_asked(answer: Added | NoRoom, events: Mapping[str, str]) -> Added | NoRoom:
    """The answer to a new job, which tells who was handed it what was asked of its caller's jobs.

    `events` are as `asked_in` takes them, by caller.
    """
    if not isinstance(answer, Added) or answer.leased is None:
        return answer
    asked = asked_in(events.get(answer.job.caller_id))
    return Added(answer.job, replace(answer.leased, asked=asked)) if asked else answer


# --- rows --------------------------------------------------------------------------------------


def endpoint_row(endpoint: Endpoint) -> tuple[Any, ...]:
    """What may be written of an endpoint: from `id` to `rate_limit`, and `version`."""
    schedule = endpoint.schedule
    return (
        endpoint.id,
        endpoint.caller_id,
        endpoint.url,
        endpoint.origin,
        as_json(endpoint.events),
        as_json(endpoint.headers),
        endpoint.sealed_headers,
        None if schedule is None else as_json(schedule.seconds),
        endpoint.ordered,
        endpoint.rate_limit,
        endpoint.version,
    )


def endpoint_of(row: Row) -> Endpoint:
    """An endpoint from `endpoint.*` and its caller's `terms`."""
    terms = row[_TERMS]
    return Endpoint(
        id=row[1],
        caller_id=row[2],
        url=row[3],
        origin=row[4],
        events=_events(row[5]),
        headers=_names(row[6]),
        sealed_headers=row[7],
        schedule=None if row[8] is None else Schedule(_waits(row[8])),
        ordered=row[9],
        rate_limit=row[10],
        created_at=row[11],
        failing_since=row[12],
        disabled_at=row[13],
        disabled_reason=None if row[14] is None else DisabledReason(row[14]),
        version=row[15],
        caller_schedule=None if terms is None else _terms(terms).schedule,
    )
