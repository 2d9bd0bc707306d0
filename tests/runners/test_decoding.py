"""What handlers are given: whole numbers, and dataclasses with all that they have."""

from __future__ import annotations

import contextlib
import dataclasses
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
)

import attrs
import msgspec
import pytest
from msgspec import Meta, Struct

from dispatcher.adapters.runners import decoding
from dispatcher.adapters.runners.decoding import decoder
from dispatcher.adapters.runners.encoding import encode

T = TypeVar("T")


@dataclasses.dataclass
class Request:
    month: str
    pages: int = 3
    tags: list[str] = dataclasses.field(default_factory=list)
    scale: float = 1.0
    kind: ClassVar[str] = "request"


@dataclasses.dataclass(frozen=True)
class Frozen:
    request: Request
    other: Request | None = None


@dataclasses.dataclass(slots=True)
class Slotted:
    request: Request
    pages: int = 3


@dataclasses.dataclass
class Seen:
    pages: int = 3
    twice: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.twice = self.pages * 2
        self.note = "kept"


@dataclasses.dataclass
class Marked:
    pages: int = 3
    mark: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Of(Generic[T]):
    item: T
    count: int = 1


@dataclasses.dataclass
class Node:
    name: str = "?"
    below: list[Node] = dataclasses.field(default_factory=list)


class Box(Struct):
    request: Request


@attrs.define
class Crate:
    request: Request


class Told(TypedDict):
    request: Request


class Pair(NamedTuple):
    first: Request
    second: int = 2


class Numbers(Struct):
    a: dict[str, int]
    b: list[str]
    c: tuple[int, ...]


class Listed(Struct):
    b: list[Request]


class Deep(Struct):
    """Its annotations are made anew each time they are asked for."""

    one: Numbers
    two: Listed


@dataclasses.dataclass
class Child:
    name: str = "?"
    children: list[Child] = dataclasses.field(default_factory=list)
    parent: Child | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for each in self.children:
            each.parent = self


@dataclasses.dataclass
class Precise:
    n: int
    exact: Decimal = Decimal(0)
    loose: Any = None
    f: float = 0.0
    many: list[float] = dataclasses.field(default_factory=list)


Order = NewType("Order", Request)

WHOLE = {"month": "1", "pages": 3, "tags": [], "scale": 1.0}


@pytest.mark.parametrize(
    ("annotation", "given", "wanted"),
    [
        (Request, {"month": "1"}, WHOLE),
        (Request, {"scale": 2, "month": "1"}, WHOLE | {"scale": 2.0}),
        (Order, {"month": "1"}, WHOLE),
        (Annotated[Request, Meta(description="x")], {"month": "1"}, WHOLE),
        (Frozen, {"request": {"month": "1"}}, {"request": WHOLE, "other": None}),
        (Slotted, {"request": {"month": "1"}}, {"request": WHOLE, "pages": 3}),
        (Seen, {}, {"pages": 3, "twice": 6}),
        (Of[Request], {"item": {"month": "1"}}, {"item": WHOLE, "count": 1}),
        (Of[int], {"item": 1}, {"item": 1, "count": 1}),
        (Node, {"below": [{}]}, {"name": "?", "below": [{"name": "?", "below": []}]}),
        (Box, {"request": {"month": "1"}}, {"request": WHOLE}),
        (Crate, {"request": {"month": "1"}}, {"request": WHOLE}),
        (Told, {"request": {"month": "1"}}, {"request": WHOLE}),
        (Pair, [{"month": "1"}], [WHOLE, 2]),
        (list[Request], [{"month": "1"}], [WHOLE]),
        (dict[str, Request | int], {"a": {"month": "1"}, "b": 1}, {"a": WHOLE, "b": 1}),
        (tuple[Request, ...], [{"month": "1"}], [WHOLE]),
    ],
)
def test_a_handler_that_gives_back_its_input_loses_no_default(
    annotation: Any, given: Any, wanted: Any
) -> None:
    value = decoder(annotation)(msgspec.json.encode(given))
    assert msgspec.json.decode(encode(value)) == wanted


@pytest.mark.parametrize("_", range(30))
def test_a_dataclass_is_found_wherever_it_is(_: int) -> None:
    given = {"one": {"a": {}, "b": [], "c": []}, "two": {"b": [{"month": "1"}]}}
    value = decoder(Deep)(msgspec.json.encode(given))
    assert msgspec.json.decode(encode(value))["two"] == {"b": [WHOLE]}


def test_objects_may_name_each_other() -> None:
    value = decoder(Child)(b'{"children": [{"children": [{}]}, {}]}')
    first, second = value.children
    assert first.parent is second.parent is value
    assert vars(second) == {"name": "?", "children": [], "parent": value}


def test_what_is_whole_is_all_that_is_rewritten() -> None:
    read = decoder(Precise)
    value = read(b'{"n": 2.0, "exact": 0.1234567890123456789012345, "f": -0.0, "loose": 1.5}')
    assert value.exact == Decimal("0.1234567890123456789012345")
    assert (value.n, str(value.f), value.loose) == (2, "-0.0", 1.5)
    for zero in (b'{"n": 0.0, "f": -0.0}', b'{"n": -2.0, "f": -0.0}'):
        assert str(read(zero).f) == "-0.0"
    for refused in (b'{"n": 1e300}', b'{"n": 2.0, "loose": "%b"}' % (b"x" * 70_000)):
        with pytest.raises(msgspec.ValidationError):
            read(refused)


def test_numbers_are_not_looked_through_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    real = decoding._complete

    def spied(value: Any, seen: set[int]) -> None:
        looked.append(value)
        real(value, seen)

    monkeypatch.setattr(decoding, "_complete", spied)
    value = decoder(Precise)(b'{"n": 1, "many": [1, 2, 3]}')
    assert len(looked) == 1
    assert vars(value) == vars(Precise(1, many=[1.0, 2.0, 3.0]))


def test_what_no_one_gives_a_dataclass_stays_with_the_class() -> None:
    """As in Python, where `__init__` leaves it out too."""
    value = decoder(Marked)(b"{}")
    assert vars(value) == vars(Marked()) == {"pages": 3}
    assert value.mark == 0


def test_it_is_as_if_it_had_been_made_in_python() -> None:
    value = decoder(Request)(b'{"scale": 2.5, "month": "1"}')
    assert value == Request("1", scale=2.5)
    assert vars(value) == vars(Request("1", scale=2.5))
    assert list(vars(value)) == list(vars(Request("1", scale=2.5)))
    assert encode(value) == encode(Request("1", scale=2.5))
    assert vars(decoder(Seen)(b"{}"))["note"] == "kept"


@pytest.mark.parametrize(
    "annotation",
    [int, dict, dict[str, Any], list[dict[str, int]], Literal["Request"], str | None],
)
def test_where_no_dataclass_can_be_nothing_is_looked_through(
    annotation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input may be large."""
    monkeypatch.delattr(decoding, "_complete")
    read = decoder(annotation)
    for given in (b"1", b"{}", b"[]", b'"Request"'):
        with contextlib.suppress(msgspec.ValidationError):
            read(given)


@pytest.mark.parametrize(
    ("annotation", "given", "wanted"),
    [
        (int, b"2.0", 2),
        (int, b"1e3", 1_000),
        (int, b"0.0", 0),
        (int, b"-0.0", 0),
        (list[int], b"[0.0, -0.0, 2.0]", [0, 0, 2]),
        (float, b"2.0", 2.0),
        (Request, b'{"month": "1", "pages": 5.0}', Request("1", 5)),
        (list[int], b"[1, 2.0]", [1, 2]),
        (dict[str, int | str], b'{"a": -4.0, "b": "2.0"}', {"a": -4, "b": "2.0"}),
    ],
)
def test_two_point_zero_is_an_integer(annotation: Any, given: bytes, wanted: Any) -> None:
    """As in JSON Schema, by which it was let in."""
    value = decoder(annotation)(given)
    assert value == wanted
    assert type(value) is type(wanted)


@pytest.mark.parametrize("given", [b"2.5", b'"2"', b"true", b"1e400", b"[2.0]", b"null"])
def test_what_does_not_fit_is_told_as_it_was_sent(given: bytes) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        decoder(int)(given)
    with pytest.raises(msgspec.DecodeError) as wanted:
        msgspec.json.decode(given, type=int)
    assert str(caught.value) == str(wanted.value)
