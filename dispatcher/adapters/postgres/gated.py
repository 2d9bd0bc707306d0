"""Destinations where more than slots counts, while a batch of deliveries comes to them.

A breaker, a rate, a pause, an order: what speaks of them is read in a few statements, and what has
changed is written in a few, however many destinations and deliveries there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from dispatcher.adapters.postgres import chains, destinations, gates
from dispatcher.adapters.postgres.breakers import Line, lines_of
from dispatcher.adapters.postgres.debts import Debt, Row
from dispatcher.adapters.postgres.destinations import Destination
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.gate import OWN_LINE, PLAIN, Gate
from dispatcher.core.model import Instant
from dispatcher.ports.records import Applied, DeliveryTerms

_LOWER: Final = statement("targets_lower")
_RATES: Final = statement("destinations_rates")


class Gated:
    """What decides over new deliveries to locked destinations, kept up with those that are taken.

    Whoever has used it writes the destinations, and then calls `write`.
    """

    __slots__ = ("_active", "_gates", "_lines", "_lowered", "_rates", "_session", "_terms")

    def __init__(self, session: Session, terms: DeliveryTerms) -> None:
        self._session = session
        self._terms = terms
        self._gates: dict[int, Gate] = {}
        self._lines: dict[tuple[int, str], Line] = {}
        self._active: set[str] = set()
        self._lowered: dict[int, Instant] = {}
        self._rates: dict[int, int] = {}

    @classmethod
    async def look(
        cls,
        session: Session,
        found: Collection[Destination],
        urls: Iterable[tuple[int, str]],
        orders: Iterable[str],
        terms: DeliveryTerms,
    ) -> Gated:
        """Look at destinations, at URLs of them (each with its destination's number), at chains.

        Of a plain destination all is known already.
        """
        gated = cls(session, terms)
        asked = [p.seq for p in found if not p.plain or terms.rate_per_second is not None]
        if asked:
            gated._gates = await gates.gates_of(session, asked)
        lined = {(seq, url) for seq, url in urls if seq in gated._gates and gated._gates[seq].lined}
        gated._lines = await lines_of(session, lined)
        wanted = sorted(set(orders))
        if wanted:
            gated._active = await chains.active(session, wanted)
        return gated

    def line(self, place: Destination, url: str) -> Line | None:
        """The line that a delivery to a URL waits in now; None: its destination's own."""
        return self._lines.get((place.seq, url))

    def owe(self, debt: Debt, place: Destination) -> tuple[Row, Applied]:
        """One new delivery, leased at once if that is asked and may be; with its row."""
        session, now = self._session, self._session.now
        due_at = debt.due_at(now, self._terms)
        blocked = debt.chain in self._active
        if debt.chain is not None:
            self._active.add(debt.chain)
        line = self.line(place, debt.url)
        first = place.fresh_at is None or place.fresh_at > now
        goes = debt.hand_off and due_at == now and first and not blocked
        if goes and line is None and self._take(place):
            lease, until = session.ids.new("lse"), destinations.lease_until(session, self._terms)
            place.lease(until)
            place.be_ready_by(until, None)
            row = debt.row(place, due_at, lease=lease, until=until)
            return row, Applied((debt.handed(session, due_at, lease),))
        number = OWN_LINE if line is None else line.number
        row = debt.row(place, due_at, line=number, blocked=blocked)
        if blocked:
            return row, Applied()
        return row, Applied(delivery_ready_at=self.wait(place, line, due_at))

    def wait(self, place: Destination, line: Line | None, due_at: Instant) -> Instant | None:
        """One more waits in a line (None: its destination's own); from when it can be claimed.

        None: never, as it stands (the destination is paused, say).
        """
        now, at = self._session.now, due_at
        if line is None:
            place.fresh_at = destinations.earliest(place.fresh_at, due_at)
        else:
            at = max(at, line.at(self._terms, now))
            self._lowered[line.number] = min(at, self._lowered.get(line.number, at))
        here = self._gate(place)
        room = here.room(self._terms, now)
        held = room.free == 0 and room.at > at
        at = max(room.at if held else at, now)
        place.be_ready_by(at, self._terms.slots if held and room.full else None)
        return None if here.stopped else at

    async def write(self) -> None:
        """Write what has gone by rates, and when the next of lines can be claimed."""
        if self._rates:
            await self._session.execute(_RATES, list(self._rates), list(self._rates.values()))
        if self._lowered:
            await self._session.execute(_LOWER, list(self._lowered), list(self._lowered.values()))

    def _take(self, place: Destination) -> bool:
        """Whether one more may be sent now; what a rate allows is taken."""
        here = self._gate(place)
        if here.stopped or here.room(self._terms, self._session.now).free == 0:
            return False
        rate_us = here.rate_taken(self._terms, self._session.now, 1)
        if rate_us is not None:
            self._rates[place.seq] = rate_us
        return True

    def _gate(self, place: Destination) -> Gate:
        """How a destination stands by now."""
        here = self._gates.get(place.seq, PLAIN)
        return here._replace(
            sending=place.sending,
            first_until=place.first_until,
            rate_us=self._rates.get(place.seq, here.rate_us),
        )
