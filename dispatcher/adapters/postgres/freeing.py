"""Slots of plain destinations that come free: handed on, or told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatcher.adapters.postgres import destinations
from dispatcher.adapters.postgres.destinations import Destination, Where
from dispatcher.adapters.postgres.lines import heads, take_turns
from dispatcher.adapters.postgres.sending import lease
from dispatcher.adapters.postgres.session import Session
from dispatcher.core.model import Instant
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery


class Freed(NamedTuple):
    """A slot that came free: which delivery had it, and where.

    `held`: its lease had not ended. `due_at` is when that delivery is due again; it is not if it
    was `canceled`. `hand_off`: the slot is to go on at once.
    """

    seq: int
    held: bool
    place: int
    where: Where
    due_at: Instant | None
    canceled: bool
    hand_off: bool


async def came_free(
    session: Session,
    freed: Sequence[Freed],
    before: Mapping[Where, Instant | None],
    terms: DeliveryTerms,
) -> list[Applied]:
    """Hand slots of plain destinations on where that is asked; from when others are of use.

    `before` is when each destination was to be ready.

    Those that wait count if they can be claimed before the destination was to be ready: then it was
    full, and they wait for this slot.
    """
    known = await destinations.stand(session, {each.where for each in freed})
    mark, stands = destinations.mark(session), session.stands
    handed, emptied = await _hand_on(session, known, freed, terms)
    again = await destinations.look(session, emptied)
    known.update(again)
    following: dict[Where, Instant | None] = {}
    for where, place in known.items():
        next_at, full_slots = place.next_at(session.now, terms.slots)
        place.be_ready_by(next_at, full_slots)
        was = before[where]
        following[where] = next_at if was is None or (next_at or was) < was else None
    await destinations.write(session, known.values())
    destinations.still(session, mark, stands | again)
    gone_on = {seq for seq, _ in handed.values()}
    answers = []
    for n, each in enumerate(freed):
        mine = (handed[n][1],) if n in handed else ()
        own = None if each.due_at is None or each.seq in gone_on else max(each.due_at, session.now)
        ready_at = destinations.earliest(own, following[each.where])
        answers.append(Applied(mine, delivery_ready_at=ready_at, canceled=each.canceled))
    return answers


async def _hand_on(
    session: Session, known: dict[Where, Destination], freed: Sequence[Freed], terms: DeliveryTerms
) -> tuple[dict[int, tuple[int, LeasedDelivery]], set[Where]]:
    """Lease what is due in the slots that came free, by their positions: see `_choose`.

    The second answer are the destinations of which nothing that is due is left, as far as was
    looked: what waits there has to be looked at again. Of the others all that counts is known.
    """
    count = Counter(each.where for each in freed)
    limits: dict[int, int] = {}
    for where in {each.where for each in freed if each.hand_off}:
        place = known[where]
        due_at = place.due_at
        if due_at is not None and due_at <= session.now and place.sending < terms.slots:
            limits[place.seq] = 2 * count[where]
    if not limits:
        return {}, set()
    found = await heads(session, limits)
    chosen: dict[int, int] = {}
    at: dict[Where, list[tuple[int, Freed]]] = {}
    for n, each in enumerate(freed):
        at.setdefault(each.where, []).append((n, each))
    for where, here in at.items():
        place = known[where]
        due = found.get(place.seq, ([], []))
        chosen.update(_choose(session, here, due, terms.slots - place.sending))
    leased = await lease(session, list(chosen.values()), terms)
    until = destinations.lease_until(session, terms)
    emptied: set[Where] = set()
    for where in {freed[n].where for n in chosen}:
        fresh, retried = found.get(known[where].seq, ([], []))
        taken = [seq for n, seq in chosen.items() if freed[n].where == where]
        for seq in taken:
            if seq in leased:
                known[where].lease(until)
        lost = any(leased[seq].delivery.unknown_count for seq in taken if seq in leased)
        if lost or len(taken) == len(fresh) + len(retried) or not leased.keys() >= set(taken):
            emptied.add(where)
    return {n: (seq, leased[seq]) for n, seq in chosen.items() if seq in leased}, emptied


def _choose(
    session: Session,
    here: Sequence[tuple[int, Freed]],
    due: tuple[list[int], list[int]],
    free: int,
) -> dict[int, int]:
    """Which delivery goes on in which slot, as if the changes came one after another.

    So a delivery that a later one frees is still being sent, and has its slot, until then. First
    attempts and retries (`due`) take turns.
    """
    later = {each.seq: n for n, each in here}
    free -= sum(each.held for _, each in here)
    queues = [list(each) for each in due]
    chosen: dict[int, int] = {}
    for n, each in here:
        free += each.held
        if not each.hand_off or free <= 0:
            continue
        fresh, retried = ([seq for seq in q if later.get(seq, n) <= n] for q in queues)
        for seq in take_turns(session, each.place, fresh, retried, 1):
            queues[0 if seq in fresh else 1].remove(seq)
            chosen[n] = seq
            free -= 1
    return chosen
