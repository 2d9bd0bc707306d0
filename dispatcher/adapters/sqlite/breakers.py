"""Breakers as the store keeps them: of a destination, and of its URLs that have failed."""

from __future__ import annotations

from typing import Any

import msgspec

from dispatcher.adapters.sqlite import destinations
from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.adapters.stored import breaker_of
from dispatcher.core.breaker import (
    MOST_TARGETS,
    Breaker,
    Outcome,
    Sign,
    after,
    fails_destination,
    has_moved,
    state_of,
    tells_of_url,
)
from dispatcher.core.changes import RecordAttempt
from dispatcher.core.facts import BreakerChanged
from dispatcher.core.gate import OWN_LINE
from dispatcher.ports.records import DeliveryTerms

_KEEP = statement("destination_breaker")
_NAME = statement("destination_name")
_TARGET_FIND = statement("target_find")
_TARGET_ADD = statement("target_add")
_TARGET_KEEP = statement("target_breaker")
_TARGET_FORGET = statement("target_forget")
_FORGET_OLDEST = statement("targets_forget_oldest")
_TARGET_LINE = statement("target_line")


def tell(
    session: Session,
    seq: int,
    url: str,
    change: RecordAttempt,
    terms: DeliveryTerms,
) -> tuple[BreakerChanged, ...]:
    """Keep what an attempt tells of its receiver; the breakers that have moved."""
    attempt, sign = change.attempt, change.sign
    if attempt is None or sign is Sign.NOTHING:
        return ()
    here = destinations.gate(session, seq)

    def outcome(*, failed: bool) -> Outcome:
        return Outcome(
            failed=failed,
            began_at=attempt.at,
            at=change.at,
            now=session.now,
            jitter=change.jitter,
            slots=terms.slots,
        )

    failed = fails_destination(sign, whole=here.whole)
    moved: list[BreakerChanged] = []
    breaker = after(here.breaker, outcome(failed=failed), terms.breaker)
    if breaker != here.breaker:
        session.execute(_KEEP, {"seq": seq, **_row(session, breaker)}).fetchall()
        moved += _moved(session, seq, None, here.breaker, breaker)
    if tells_of_url(sign, whole=here.whole):
        found = outcome(failed=sign is Sign.NO_SERVICE)
        moved += _tell_target(session, seq, url, found, terms)
    return tuple(moved)


def _tell_target(
    session: Session, seq: int, url: str, outcome: Outcome, terms: DeliveryTerms
) -> list[BreakerChanged]:
    row = session.one(_TARGET_FIND, {"seq": seq, "url": url})
    target, text = (None, None) if row is None else row
    before = None if text is None else breaker_of(text)
    breaker = after(before, outcome, terms.breaker)
    if target is None:
        if breaker is None:
            return []
        session.execute(_FORGET_OLDEST, {"seq": seq, "most": MOST_TARGETS})
        added = {"seq": seq, "url": url, **_row(session, breaker)}
        ((target,),) = session.execute(_TARGET_ADD, added).fetchall()
    elif breaker != before:
        session.execute(_TARGET_KEEP, {"target": target, **_row(session, breaker)})
    return _moved(session, seq, url, before, breaker)


def line_of(session: Session, seq: int, url: str) -> int:
    """The line that a delivery to `url` waits in now."""
    row = session.one(_TARGET_LINE, {"seq": seq, "url": url})
    return OWN_LINE if row is None else row[0]


def renew_lines(session: Session, seq: int, url: str, line: int, terms: DeliveryTerms) -> None:
    """Work out anew the lines that a delivery to `url` was of and is of; forget the idle ones."""
    row = session.one(_TARGET_FIND, {"seq": seq, "url": url})
    for each in {line, OWN_LINE if row is None else row[0]}:
        if each != OWN_LINE:
            destinations.renew_line(session, seq, each, terms)
            session.execute(_TARGET_FORGET, (each,))


def _row(session: Session, breaker: Breaker | None) -> dict[str, Any]:
    return {
        "breaker": None if breaker is None else msgspec.json.encode(breaker).decode(),
        "state": None if breaker is None else breaker.state.value,
        "open_until": None if breaker is None else breaker.open_until,
        "now": session.now,
    }


def _moved(
    session: Session, seq: int, url: str | None, before: Breaker | None, breaker: Breaker | None
) -> list[BreakerChanged]:
    """What is told of a breaker: that its state is another, or that it has opened again."""
    if not has_moved(before, breaker):
        return []
    id_, caller_id, origin, endpoint_id = session.one(_NAME, (seq,))
    return [
        BreakerChanged(
            destination_id=id_,
            caller_id=caller_id,
            origin=origin,
            endpoint_id=endpoint_id or None,
            url=url,
            before=state_of(before),
            state=state_of(breaker),
            open_until=None if breaker is None else breaker.open_until,
        )
    ]
