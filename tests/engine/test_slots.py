"""Room for work: what is taken is given back, and nothing is taken twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from dispatcher.engine.slots import Slots


def test_a_place_is_taken_and_given_back() -> None:
    slots = Slots(1)
    assert slots.take()
    assert not slots.take()
    slots.give()
    assert slots.take()
    assert slots.used == 1


def test_a_kind_has_a_limit_of_its_own() -> None:
    slots = Slots(10, {"narrow": 1, "wide": None})
    assert slots.take("narrow")
    assert not slots.take("narrow")
    assert slots.take("wide")
    slots.give("narrow")
    assert slots.take("narrow")


def test_an_unknown_kind_has_no_place() -> None:
    slots = Slots(10, {"known": None})
    assert not slots.take("unknown")
    assert slots.used == 0


def test_a_claim_takes_half_of_what_is_free() -> None:
    slots = Slots(10, {"narrow": 3, "wide": None, "full": 0})
    share, kinds = slots.take_share()
    assert (share, kinds) == (5, {"narrow": 2, "wide": 5})
    slots.give_share(share, kinds)
    assert slots.used == 0
    assert [slots.take("narrow") for _ in range(4)] == [True, True, True, False]


def test_the_last_place_can_be_claimed() -> None:
    slots = Slots(1, {"narrow": 1})
    assert slots.take_share() == (1, {"narrow": 1})
    assert slots.take_share() == (0, {})


def test_once_closed_nothing_is_handed_out() -> None:
    slots = Slots(2)
    slots.take()
    slots.close()
    assert not slots.take()
    slots.give()
    assert slots.used == 0


def test_who_wants_a_place_is_told_once() -> None:
    slots = Slots(2)
    told: list[int] = []
    slots.on_free = lambda: told.append(slots.used)
    slots.take()
    slots.take()
    slots.give()
    assert told == []
    slots.wanted = True
    slots.give()
    assert told == [0]
    slots.take()
    slots.give()
    assert told == [0]


def test_who_has_only_to_be_written_leaves_its_place() -> None:
    slots = Slots(2, {"wide": None})
    assert [slots.take("wide") for _ in range(3)] == [True, True, False]
    assert slots.leave("wide")
    assert (slots.used, slots.leaving) == (1, 1)
    assert slots.take("wide")
    slots.end("wide", left=True)
    assert (slots.used, slots.leaving) == (2, 0)
    slots.end("wide", left=False)
    assert (slots.used, slots.leaving) == (1, 0)


def test_a_kind_with_a_limit_keeps_its_place_until_it_is_written() -> None:
    slots = Slots(2, {"narrow": 1})
    assert slots.take("narrow")
    assert not slots.leave("narrow")
    assert (slots.used, slots.leaving) == (1, 0)


def test_no_more_leave_than_there_are_places() -> None:
    slots = Slots(2, {"wide": None})
    for _ in range(2):
        assert slots.take("wide")
        assert slots.leave("wide")
    assert slots.take("wide")
    assert not slots.leave("wide")
    slots.end("wide", left=True)
    assert slots.leave("wide")


LIMITS: dict[str, int | None] = {"narrow": 2, "other": 3, "wide": None}


class SlotsAgainstAModel(RuleBasedStateMachine):
    """Taking and giving in any order keeps every limit and loses no place."""

    taken: Bundle[str] = Bundle("taken")
    shares: Bundle[Any] = Bundle("shares")

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(5, LIMITS)
        self.running: list[str] = []
        self.left: list[str] = []
        self.claiming = 0

    @rule(target=taken, kind=st.sampled_from(sorted(LIMITS)))
    def take(self, kind: str) -> str:
        if not self.slots.take(kind):
            return ""
        self.running.append(kind)
        return kind

    @rule(kind=consumes(taken))
    def give(self, kind: str) -> None:
        if kind:
            self.slots.give(kind)
            self.running.remove(kind)

    @rule(kind=consumes(taken))
    def leave(self, kind: str) -> None:
        if not kind:
            return
        self.running.remove(kind)
        if self.slots.leave(kind):
            self.left.append(kind)
        else:
            self.slots.end(kind, left=False)

    @precondition(lambda self: self.left)
    @rule()
    def is_written(self) -> None:
        self.slots.end(self.left.pop(), left=True)

    @rule(target=shares)
    def begin_claim(self) -> Any:
        share, kinds = self.slots.take_share()
        self.claiming += share
        return share, kinds

    @rule(target=taken, claim=consumes(shares), kind=st.sampled_from(sorted(LIMITS)))
    def end_claim(self, claim: tuple[int, dict[str, int]], kind: str) -> str:
        """One job of `kind` came, if it was asked for."""
        share, kinds = claim
        self.claiming -= share
        started = kinds.get(kind, 0) > 0
        if started:
            share -= 1
            kinds[kind] -= 1
            self.running.append(kind)
        self.slots.give_share(share, kinds)
        return kind if started else ""

    @invariant()
    def every_place_is_accounted_for(self) -> None:
        assert self.slots.used == len(self.running) + self.claiming <= 5
        assert self.slots.leaving == len(self.left) <= 5

    @invariant()
    def no_limit_is_passed(self) -> None:
        for kind, limit in LIMITS.items():
            assert limit is None or self.running.count(kind) <= limit

    def teardown(self) -> None:
        for kind in self.running:
            self.slots.give(kind)
        if not self.claiming:
            assert self.slots.used == 0
            assert [self.slots.take("narrow") for _ in range(3)] == [True, True, False]


TestSlotsAgainstAModel = SlotsAgainstAModel.TestCase


def test_the_model_notices_a_lost_place(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SlotsAgainstAModel()
    monkeypatch.setattr(machine.slots, "give", lambda _: None)
    machine.take("wide")
    machine.give("wide")
    with pytest.raises(AssertionError):
        machine.every_place_is_accounted_for()
