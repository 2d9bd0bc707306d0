"""Places for what is sent: shared between callers, and whoever waits is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.engine.places import Places


def fill(places: Places, caller_id: str) -> int:
    count = 0
    while places.take(caller_id):
        count += 1
    return count


def test_one_alone_has_three_quarters() -> None:
    places = Places(256)
    assert fill(places, "ann") == 192
    assert places.used == 192


def test_others_always_find_some() -> None:
    places = Places(256)
    taken = [fill(places, name) for name in ("ann", "ben", "cem", "dan")]
    assert taken == sorted(taken, reverse=True)
    assert min(taken) >= 3
    assert places.used < 256


def test_even_a_single_place_can_be_had() -> None:
    assert fill(Places(1), "ann") == 1


def test_who_holds_more_than_its_due_gives_its_place_up() -> None:
    places = Places(8)
    assert fill(places, "ann") == 6
    assert places.to_spare("ann")
    assert places.take("ben")
    assert not places.to_spare("ann")
    assert places.to_spare("ben")


def test_a_claim_is_told_whom_it_may_give_how_many() -> None:
    places = Places(16)
    assert places.take_share() == (4, {})
    places.give_share(4)
    assert fill(places, "ann") == 12
    places.take("ben")
    share, room = places.take_share()
    assert (share, room) == (1, {"ann": 0})
    places.settle("ben")
    places.give_share(share - 1)
    assert (places.held("ben"), places.used) == (2, 14)


def test_whoever_got_less_is_told_when_there_is_more() -> None:
    places = Places(16)
    rung: list[int] = []
    places.on_free = lambda: rung.append(places.used)
    fill(places, "ann")
    share, room = places.take_share()
    assert room == {"ann": 0}
    places.give_share(share)
    places.give("ann")
    assert rung == [11]
    places.give("ann")
    assert rung == [11]


def test_closed_it_gives_out_none() -> None:
    places = Places(4)
    places.take("ann")
    places.close()
    assert not places.take("ann")
    assert not places.to_spare("ann")


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=200), st.integers(1, 40))
def test_nobody_holds_more_than_three_times_what_was_free(
    steps: list[tuple[int, bool]], total: int
) -> None:
    places = Places(total)
    held = [0, 0, 0, 0]
    for who, take in steps:
        name = f"caller {who}"
        if take and places.take(name):
            held[who] += 1
            assert held[who] == 1 or held[who] <= 3 * (total - places.used)
        elif not take and held[who]:
            places.give(name)
            held[who] -= 1
        assert places.used == sum(held) <= total
        assert [places.held(f"caller {each}") for each in range(4)] == held
