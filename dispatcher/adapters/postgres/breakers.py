"""Breakers as the store keeps them: of a destination, and of its URLs that have failed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from dispatcher.adapters.postgres import gates
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.breaker import Breaker, Outcome, Sign, after, state_of
from dispatcher.core.changes import RecordAttempt
from dispatcher.core.facts import BreakerChanged
from dispatcher.ports.records import DeliveryTerms

_KEEP = statement("destination_breaker")
_NAME = statement("destination_name")
_TARGET_FIND = statement("target_find")
_TARGET_ADD = statement("target_add")
_TARGET_KEEP = statement("target_breaker")
_TARGET_FORGET = statement("target_forget")
_FORGET_OLDEST = statement("targets_forget_oldest")
_TARGET_LINE = statement("target_line")

MOST_TARGETS: Final = 1_000
"""So many failing URLs of a destination are known; the one that failed longest ago gives way."""


async def tell(
    session: Session, seq: int, url: str, change: RecordAttempt, terms: DeliveryTerms
) -> tuple[BreakerChanged, ...]:
    """Keep what an attempt tells of its receiver; the breakers that have moved."""
    attempt, sign = change.attempt, change.sign
    if attempt is None or sign is Sign.NOTHING:
        return ()
    here = await gates.gate(session, seq)

    def outcome(*, failed: bool) -> Outcome:
        return Outcome(
            failed=failed,
            began_at=attempt.at,
            at=change.at,
            now=session.now,
            jitter=change.jitter,
            slots=terms.slots,
        )

    failed = sign is Sign.NO_CONNECTION or (here.whole and sign is Sign.NO_SERVICE)
    moved: list[BreakerChanged] = []
    breaker = after(here.breaker, outcome(failed=failed), terms.breaker)
    if breaker != here.breaker:
        await session.execute(_KEEP, seq, *_row(session, breaker))
        moved += await _moved(session, seq, None, here.breaker, breaker)
    if not here.whole and sign is not Sign.NO_CONNECTION:
        found = outcome(failed=sign is Sign.NO_SERVICE)
        moved += await _tell_target(session, seq, url, found, terms)
    return tuple(moved)


async def _tell_target(
    session: Session, seq: int, url: str, outcome: Outcome, terms: DeliveryTerms
) -> list[BreakerChanged]:
    target, text = await session.one(_TARGET_FIND, seq, url) or (None, None)
    before = None if text is None else gates.breaker_of(text)
    breaker = after(before, outcome, terms.breaker)
    if target is None:
        if breaker is None:
            return []
        await session.execute(_FORGET_OLDEST, seq, MOST_TARGETS)
        await session.execute(_TARGET_ADD, seq, url, *_row(session, breaker))
    elif breaker != before:
        await session.execute(_TARGET_KEEP, target, *_row(session, breaker))
    return await _moved(session, seq, url, before, breaker)


async def line_of(session: Session, seq: int, url: str) -> int:
    """The line that a delivery to `url` waits in now."""
    row = await session.one(_TARGET_LINE, seq, url)
    return gates.OWN_LINE if row is None else row[0]


async def renew_lines(
    session: Session, seq: int, url: str, line: int, terms: DeliveryTerms
) -> None:
    """Work out anew the lines that a delivery to `url` was of and is of; forget the idle ones."""
    row = await session.one(_TARGET_FIND, seq, url)
    for each in {line, gates.OWN_LINE if row is None else row[0]}:
        if each != gates.OWN_LINE:
            await gates.renew_line(session, seq, each, terms)
            await session.execute(_TARGET_FORGET, each)


def _row(session: Session, breaker: Breaker | None) -> tuple[Any, ...]:
    if breaker is None:
        return None, None, None, session.now
    text = msgspec.json.encode(breaker).decode()
    return text, breaker.state.value, breaker.open_until, session.now


async def _moved(
    session: Session, seq: int, url: str | None, before: Breaker | None, breaker: Breaker | None
) -> list[BreakerChanged]:
    """What is told of a breaker: that its state is another, or that it has opened again."""
    reopened = breaker is not None and before is not None and breaker.openings > before.openings
    if state_of(before) is state_of(breaker) and not reopened:
        return []
    id_, caller_id, origin, endpoint_id = await session.one(_NAME, seq) or ("", "", "", "")
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
