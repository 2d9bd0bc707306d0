"""Breakers as the store keeps them: of destinations, and of their URLs that have failed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from dispatcher.adapters.postgres import gates
from dispatcher.adapters.postgres.rows import columns
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import breaker_of
from dispatcher.core.breaker import (
    MOST_TARGETS,
    Breaker,
    BreakerState,
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
from dispatcher.core.gate import OWN_LINE, Gate, line_room
from dispatcher.core.model import Instant
from dispatcher.ports.records import DeliveryTerms

_KEEP = statement("destinations_breakers")
_NAMES = statement("destinations_names")
_TARGETS_FIND = statement("targets_find")
_TARGET_ADD = statement("target_add")
_TARGETS_KEEP = statement("targets_breakers")
_TARGET_FORGET = statement("target_forget")
_FORGET_OLDEST = statement("targets_forget_oldest")
_LINES = statement("targets_lines")

Url = tuple[int, str]
"""A URL, with the number of its destination."""


class Line(NamedTuple):
    """Where deliveries for a URL in trouble wait: the number of the line, and how that stands.

    `sending` counts leases that are alive, and `first_until` is when the first of them ends.
    """

    number: int
    breaker: Breaker
    sending: int
    first_until: Instant | None

    def at(self, terms: DeliveryTerms, now: Instant) -> Instant:
        """From when its breaker lets one more go."""
        room = line_room(self.breaker, (self.sending, self.first_until), terms, now)
        return now if room.free else room.at


async def lines_of(session: Session, urls: Collection[Url]) -> dict[Url, Line]:
    """The lines of URLs in trouble; deliveries for others wait in their destination's own."""
    if not urls:
        return {}
    rows = await session.fetch(_LINES, *columns(sorted(urls), 2), session.now)
    return {(row[0], row[1]): Line(row[2], breaker_of(row[3]), *row[4:]) for row in rows}


class _Moved(NamedTuple):
    """A breaker that was told of an attempt, of a destination or (`url`) of one of its URLs."""

    by: int
    place: int
    url: str | None
    before: Breaker | None
    breaker: Breaker | None

    @property
    def tells(self) -> bool:
        """Whether its state is another, or it has opened again."""
        return has_moved(self.before, self.breaker)


class Breakers:
    """The breakers of locked destinations and of URLs of them, while attempts tell of both.

    `here` are the gates of the destinations, kept up with their breakers.
    """

    __slots__ = ("_moved", "_session", "_targets", "_terms", "here")

    def __init__(self, session: Session, terms: DeliveryTerms, here: dict[int, Gate]) -> None:
        self._session = session
        self._terms = terms
        self._targets: dict[Url, tuple[int | None, Breaker | None]] = {}
        self._moved: list[_Moved] = []
        self.here = here

    @classmethod
    async def look(cls, session: Session, urls: Collection[Url], terms: DeliveryTerms) -> Breakers:
        """The breakers of URLs, and of their destinations, read anew."""
        here = await gates.gates_of(session, sorted({seq for seq, _ in urls}))
        found = cls(session, terms, here)
        lined = sorted(each for each in urls if here[each[0]].lined)
        if lined:
            for seq, url, target, text in await session.fetch(_TARGETS_FIND, *columns(lined, 2)):
                breaker = None if text is None else breaker_of(text)
                found._targets[seq, url] = target, breaker
        return found

    def tell(self, by: int, seq: int, url: str, change: RecordAttempt) -> None:
        """An attempt tells of its receiver; `by` is its place in the batch."""
        attempt, sign = change.attempt, change.sign
        if attempt is None or sign is Sign.NOTHING:
            return
        here = self.here[seq]

        def outcome(*, failed: bool) -> Outcome:
            return Outcome(
                failed=failed,
                began_at=attempt.at,
                at=change.at,
                now=self._session.now,
                jitter=change.jitter,
                slots=self._terms.slots,
            )

        failed = fails_destination(sign, whole=here.whole)
        breaker = after(here.breaker, outcome(failed=failed), self._terms.breaker)
        if breaker != here.breaker:
            self._moved.append(_Moved(by, seq, None, here.breaker, breaker))
            self.here[seq] = here._replace(breaker=breaker)
        if tells_of_url(sign, whole=here.whole):
            target, before = self._targets.get((seq, url), (None, None))
            found = outcome(failed=sign is Sign.NO_SERVICE)
            breaker = after(before, found, self._terms.breaker)
            if breaker != before:
                self._moved.append(_Moved(by, seq, url, before, breaker))
                self._targets[seq, url] = target, breaker

    async def write(self) -> dict[int, tuple[BreakerChanged, ...]]:
        """Keep what was told; the breakers that have moved, by whose attempt has moved them."""
        if not self._moved:
            return {}
        own = sorted({each.place for each in self._moved if each.url is None})
        if own:
            rows = [(seq, *_row(self._session, self.here[seq].breaker)) for seq in own]
            await self._session.execute(_KEEP, *columns(rows, 5))
        await self._write_targets(
            sorted({(each.place, each.url) for each in self._moved if each.url is not None})
        )
        told = [each for each in self._moved if each.tells]
        self._moved = []
        names = await self._names({each.place for each in told})
        facts: dict[int, tuple[BreakerChanged, ...]] = {}
        for each in told:
            facts[each.by] = (*facts.get(each.by, ()), _fact(each, names[each.place]))
        return facts

    async def _write_targets(self, urls: Collection[Url]) -> None:
        session = self._session
        found = [self._targets[each] for each in urls]
        kept = [
            (target, *_row(session, breaker)) for target, breaker in found if target is not None
        ]
        if kept:
            await session.execute(_TARGETS_KEEP, *columns(kept, 5))
        for seq, url in urls:
            target, breaker = self._targets[seq, url]
            if target is None and breaker is not None:
                # What the batch knows of may look idle, and is not: deliveries come to it later.
                known = [number for number, _ in self._targets.values() if number is not None]
                await session.execute(_FORGET_OLDEST, seq, MOST_TARGETS, known)
                row = await session.one(_TARGET_ADD, seq, url, *_row(session, breaker))
                self._targets[seq, url] = row[0], breaker
                self.here[seq] = self.here[seq]._replace(lined=True)

    async def _names(self, seqs: Collection[int]) -> dict[int, tuple[str, str, str, str]]:
        rows = await self._session.fetch(_NAMES, sorted(seqs)) if seqs else ()
        return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}

    def line(self, seq: int, url: str) -> int:
        """The line that a delivery to a URL waits in now."""
        target, breaker = self._targets.get((seq, url), (None, None))
        if target is None or state_of(breaker) is BreakerState.CLOSED:
            return OWN_LINE
        return target

    def lines(self, seq: int, url: str, line: int) -> set[tuple[int, int]]:
        """The lines of targets that a delivery to a URL was of (`line`) or might be of."""
        target, _ = self._targets.get((seq, url), (None, None))
        return {(seq, each) for each in (line, target) if each}


async def renew_lines(
    session: Session, lines: Collection[tuple[int, int]], terms: DeliveryTerms
) -> None:
    """Work out anew when the next of lines can be claimed, and forget those that are idle.

    Each is named by the number of its destination, and its own.
    """
    for seq, target in sorted(lines):
        await gates.renew_line(session, seq, target, terms)
        await session.execute(_TARGET_FORGET, target)


def _row(session: Session, breaker: Breaker | None) -> tuple[Any, ...]:
    if breaker is None:
        return None, None, None, session.now
    text = msgspec.json.encode(breaker).decode()
    return text, breaker.state.value, breaker.open_until, session.now


def _fact(moved: _Moved, name: tuple[str, str, str, str]) -> BreakerChanged:
    id_, caller_id, origin, endpoint_id = name
    return BreakerChanged(
        destination_id=id_,
        caller_id=caller_id,
        origin=origin,
        endpoint_id=endpoint_id or None,
        url=moved.url,
        before=state_of(moved.before),
        state=state_of(moved.breaker),
        open_until=None if moved.breaker is None else moved.breaker.open_until,
    )
