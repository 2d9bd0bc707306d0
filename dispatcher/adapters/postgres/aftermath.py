"""What follows from how deliveries fare: endpoints' stretches of failures, and `delivery.dead`.

All of it stands in the commit that records the outcome. A delivery to a job's own callback URL that
is not dead costs nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from dispatcher.adapters.postgres.destinations import earliest
from dispatcher.adapters.postgres.owing import Told, add_events
from dispatcher.adapters.postgres.rows import Row, attempt_of, delivery_in, first_attempt_of
from dispatcher.adapters.postgres.session import Kind, Session, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.postgres.switching import disable
from dispatcher.core.changes import RecordAttempt
from dispatcher.core.endpoints import DisabledReason, Endpoint, why_disabled
from dispatcher.core.model import Attempt, DeliveryState, EventType, Instant
from dispatcher.core.payload import dead_data, tells_of_death
from dispatcher.ports.records import Applied, DeliveryTerms

_FARE = statement("endpoints_fare")
_FOUND = statement("deliveries_found")
_LAST_ATTEMPTS = statement("attempts_last")


class Tried(NamedTuple):
    """An attempt that was recorded, which led to `to`; `row` is its delivery's as it was before."""

    change: RecordAttempt
    to: DeliveryState
    row: Row


class Aftermath(NamedTuple):
    """What else a change did: from when what it owed can be claimed, which endpoint it disabled."""

    ready_at: Instant | None = None
    disabled: Endpoint | None = None

    def told(self, applied: Applied) -> Applied:
        """The answer that tells of it too."""
        if self == NOTHING:
            return applied
        ready_at = earliest(applied.delivery_ready_at, self.ready_at)
        disabled = applied.disabled if self.disabled is None else self.disabled
        return replace(applied, delivery_ready_at=ready_at, disabled=disabled)


NOTHING: Final = Aftermath()


async def after_attempts(
    session: Session, tried: Sequence[Tried], resting: set[str], terms: DeliveryTerms
) -> list[Aftermath]:
    """After attempts, in order; their deliveries' rows say so already.

    `resting` are the endpoints that may be disabled: their destinations are locked.
    """
    found = [NOTHING for _ in tried]
    fares: dict[str, Instant | None] = {}
    for n, each in enumerate(tried):
        if each.row["endpoint_id"] is not None and each.change.attempt is not None:
            reason = _stretch(session, each, fares, terms)
            if reason is not None and each.row["endpoint_id"] in resting:
                await _keep(session, fares)  # what is told of it says since when it fails
                endpoint_id, at = each.row["endpoint_id"], each.change.at
                switched = await disable(session, endpoint_id, reason, at, terms)
                if switched is not None and switched.changed:
                    found[n] = Aftermath(switched.ready_at, switched.endpoint)
    await _keep(session, fares)
    dead = [n for n, each in enumerate(tried) if each.to is DeliveryState.DEAD]
    if dead:
        ends = [(tried[n].change.delivery_id, tried[n].change.at) for n in dead]
        for n, ready_at in zip(dead, await after_deaths(session, ends, terms), strict=True):
            found[n] = found[n]._replace(ready_at=earliest(found[n].ready_at, ready_at))
    return found


def _stretch(
    session: Session, tried: Tried, fares: dict[str, Instant | None], terms: DeliveryTerms
) -> DisabledReason | None:
    """Keep an endpoint's stretch of nothing but failures; why it is to be disabled, if it is.

    What is to be written goes to `fares`. An endpoint that is not locked to be changed stays as it
    is: another transaction has changed it just now, and this attempt counts as before that.
    """
    endpoint = session.registered.find(tried.row["endpoint_id"])
    if endpoint is None or not session.registered.exclusive or endpoint.url != tried.row["url"]:
        return None
    since = endpoint.failing_since
    if tried.to is DeliveryState.DELIVERED:
        if since is not None:
            fares[endpoint.id] = None
            session.registered.put(replace(endpoint, failing_since=None))
        return None
    if not endpoint.enabled:
        return None
    if since is None:
        fares[endpoint.id] = session.now
        endpoint = replace(endpoint, failing_since=session.now)
        session.registered.put(endpoint)
    return why_disabled(endpoint, session.now, terms.failing_seconds, gone=tried.change.gone)


async def _keep(session: Session, fares: dict[str, Instant | None]) -> None:
    if fares:
        await session.execute(_FARE, list(fares), list(fares.values()))
        fares.clear()


async def after_deaths(
    session: Session, dead: Sequence[tuple[str, Instant]], terms: DeliveryTerms
) -> list[Instant | None]:
    """Tell that deliveries are dead, if what they carried are events of jobs' courses.

    Gives from when what is owed of each can be claimed.
    """
    rows = {row[1]: row for row in await session.fetch(_FOUND, [id_ for id_, _ in dead])}
    last = await _last_attempts(session, list(rows.values()))
    told: dict[str, Told] = {}
    for id_, at in dead:
        row = rows[id_]
        delivery = delivery_in(row)
        if tells_of_death(delivery.event_type):
            told[id_] = Told(
                event_id=session.ids.new("evt"),
                type=EventType.DELIVERY_DEAD,
                at=at,
                job_seq=row["job_seq"],
                whose=delivery.caller_id,
                data=dead_data(delivery, last.get(row[0])),
            )
    if not told:
        return [None for _ in dead]
    applied = await add_events(session, list(told.values()), terms)
    session.witnesses.append(Witness(Kind.EVENT, next(iter(told.values())).event_id))
    ready = dict(zip(told, [each.delivery_ready_at for each in applied], strict=True))
    return [ready.get(id_) for id_, _ in dead]


async def _last_attempts(session: Session, rows: Sequence[Row]) -> dict[int, Attempt]:
    """The last recorded attempts of deliveries, by their numbers."""
    found = {row[0]: first for row in rows if (first := first_attempt_of(row)) is not None}
    several = [row[0] for row in rows if row["attempt_count"] > 1]
    for row in await session.fetch(_LAST_ATTEMPTS, several) if several else ():
        found[row[0]] = attempt_of(row[1:])
    return found
