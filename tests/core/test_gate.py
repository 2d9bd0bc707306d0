"""What holds a destination back, and until when."""

from __future__ import annotations

import pytest

from dispatcher.core.breaker import Breaker, BreakerState
from dispatcher.core.gate import NO_LOAD, PLAIN, NextSend, SendRoom, line_room
from dispatcher.ports.records import DeliveryTerms
from tests.core.samples import NOW

TERMS = DeliveryTerms(slots=4, lease_seconds=30.0)
RATED = DeliveryTerms(slots=4, lease_seconds=30.0, rate_per_second=2.0)
OPEN = Breaker(state=BreakerState.OPEN, openings=1, opened_at=NOW, open_until=NOW + 5_000)
PROBING = Breaker(state=BreakerState.HALF_OPEN, openings=1, opened_at=NOW, allowed=2)
LATER = NOW + 700


class TestRoom:
    def test_is_what_slots_leave(self) -> None:
        assert PLAIN.room(TERMS, NOW) == SendRoom(4, NOW)
        assert PLAIN._replace(sending=3).room(TERMS, NOW) == SendRoom(1, NOW)

    @pytest.mark.parametrize("sending", [4, 5])
    def test_is_none_until_a_lease_ends_where_slots_lack(self, sending: int) -> None:
        full = PLAIN._replace(sending=sending, first_until=LATER)
        assert full.room(TERMS, NOW) == SendRoom(0, LATER, full=True)

    def test_is_none_while_a_breaker_is_open_then_a_probe_s(self) -> None:
        held = PLAIN._replace(breaker=OPEN)
        assert held.room(TERMS, NOW) == SendRoom(0, NOW + 5_000)
        assert held.room(TERMS, NOW + 5_000) == SendRoom(1, NOW + 5_000)

    def test_lacks_no_slots_where_a_half_open_breaker_allows_fewer(self) -> None:
        probing = PLAIN._replace(breaker=PROBING, sending=2, first_until=LATER)
        assert probing.room(TERMS, NOW) == SendRoom(0, LATER)

    def test_is_one_at_a_time_by_a_rate(self) -> None:
        assert PLAIN.room(RATED, NOW) == SendRoom(1, NOW)
        gone = PLAIN._replace(rate_us=PLAIN.rate_taken(RATED, NOW, 1))
        assert gone.room(RATED, NOW) == SendRoom(0, NOW + 500)
        assert gone.room(RATED, NOW + 500) == SendRoom(1, NOW + 500)

    def test_goes_by_its_own_rate_first(self) -> None:
        own = PLAIN._replace(rate_per_second=1.0)
        assert (own.rate(RATED), own.rate(TERMS), PLAIN.rate(RATED)) == (1.0, 1.0, 2.0)
        assert own.rate_taken(RATED, NOW, 1) == (NOW + 1_000) * 1_000
        assert PLAIN.rate_taken(TERMS, NOW, 1) is None


class TestNextSend:
    def test_is_when_it_is_due_or_now(self) -> None:
        assert PLAIN.next_send(None, TERMS, NOW) == NextSend(None)
        assert PLAIN.next_send(NOW - 9, TERMS, NOW) == NextSend(NOW)
        assert PLAIN.next_send(LATER, TERMS, NOW) == NextSend(LATER)

    def test_is_when_a_slot_comes_free_and_says_so(self) -> None:
        full = PLAIN._replace(sending=4, first_until=LATER)
        assert full.next_send(NOW, TERMS, NOW) == NextSend(LATER, full_slots=4)
        assert full.next_send(LATER + 1, TERMS, NOW) == NextSend(LATER + 1)

    def test_is_when_a_breaker_lets_it_through_whatever_the_slots(self) -> None:
        assert PLAIN._replace(breaker=OPEN).next_send(NOW, TERMS, NOW) == NextSend(NOW + 5_000)


@pytest.mark.parametrize(
    ("breaker", "load", "expected"),
    [
        (None, NO_LOAD, SendRoom(4, NOW)),
        (OPEN, NO_LOAD, SendRoom(0, NOW + 5_000)),
        (PROBING, (1, LATER), SendRoom(1, NOW)),
        (PROBING, (2, LATER), SendRoom(0, LATER)),
        (PROBING, (3, LATER), SendRoom(0, LATER)),
    ],
)
def test_a_line_has_the_room_that_its_own_breaker_leaves(
    breaker: Breaker | None, load: tuple[int, int | None], expected: SendRoom
) -> None:
    assert line_room(breaker, load, TERMS, NOW) == expected
