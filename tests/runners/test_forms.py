from __future__ import annotations

import dataclasses
import enum
import math
from datetime import date
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Annotated, Any, NotRequired, TypedDict, Union

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from dispatcher.adapters.runners.decoding import decoder
from dispatcher.adapters.runners.encoding import encode
from dispatcher.adapters.runners.schemas import DIALECT, input_schema, result_schema


@dataclasses.dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


@dataclasses.dataclass
class Path:
    points: list[Point]
    start: Point | None = None


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Box(Struct):
    size: Annotated[int, Meta(gt=0, description="in cm")]
    color: str | None = None


class Tree(Struct):
    name: str
    children: list[Tree] = []


class Circle(Struct, tag=True):
    r: float


class Square(Struct, tag=True):
    a: float


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Good:
    value: int


@dataclasses.dataclass
class Bad:
    reason: str


KINDS: list[tuple[Any, list[Any], list[Any]]] = [
    # an annotation, JSON that fits, JSON that does not
    (Point, [{"x": 1}, {"x": 1, "y": 2}], [{}, {"x": "1"}, [], None, 3]),
    (Path, [{"points": [{"x": 1}], "start": {"x": 2}}], [{"points": [{}]}, {"points": 1}]),
    (Movie, [{"title": "a"}, {"title": "a", "year": 1}], [{}, {"title": 1}]),
    (Box, [{"size": 1}, {"size": 1, "color": None}], [{"size": 0}, {"size": 1, "color": 1}]),
    (Tree, [{"name": "a", "children": [{"name": "b"}]}], [{"name": "a", "children": [{}]}]),
    (
        Circle | Square,
        [{"type": "Circle", "r": 1}, {"type": "Square", "a": 1.5}],
        [{"r": 1}, {"type": "Circle", "a": 1}],
    ),
    (dict, [{}, {"a": [1]}], [[], 1, None]),
    (dict[str, int], [{}, {"a": 1}], [{"a": "1"}]),
    (list[Point], [[], [{"x": 1}]], [{}, [{}]]),
    (int, [1, -5], ["1", 1.5, None, True]),
    (float, [1, 1.5], ["1"]),
    (str, ["", "a"], [1]),
    (bool, [True], [1, "true"]),
    (str | None, ["a", None], [1]),
    (Color, ["red"], ["blue"]),
]
IDS = [str(kind) for kind, _, _ in KINDS]


@pytest.mark.parametrize(("kind", "fits", "faulty"), KINDS, ids=IDS)
def test_schema_and_decoder_say_the_same(kind: Any, fits: list[Any], faulty: list[Any]) -> None:
    schema = input_schema(kind)
    assert schema is not None
    parsed = msgspec.json.decode(schema)
    assert parsed["$schema"] == DIALECT
    jsonschema_rs.meta.validate(parsed)
    validator = jsonschema_rs.Draft202012Validator(parsed)
    decode = decoder(kind)
    for each in fits:
        assert validator.is_valid(each)
        decode(msgspec.json.encode(each))
    for each in faulty:
        assert not validator.is_valid(each)
        with pytest.raises(msgspec.DecodeError):
            decode(msgspec.json.encode(each))


@pytest.mark.parametrize(("kind", "fits", "faulty"), KINDS, ids=IDS)
def test_what_is_decoded_is_written_as_its_schema_says(
    kind: Any, fits: list[Any], faulty: list[Any]
) -> None:
    schema = result_schema(kind)
    assert schema is not None
    validator = jsonschema_rs.Draft202012Validator(msgspec.json.decode(schema))
    decode = decoder(kind)
    for each in fits:
        value = decode(msgspec.json.encode(each))
        assert validator.is_valid(msgspec.json.decode(encode(value)))
        assert decode(encode(value)) == value


@pytest.mark.parametrize("kind", [Any, object])
def test_what_says_nothing_takes_any_json_and_has_no_schema(kind: Any) -> None:
    assert input_schema(kind) is None
    assert result_schema(kind) is None
    assert decoder(kind)(b'[1,{"a":null}]') == [1, {"a": None}]


def test_a_definition_that_is_used_once_stands_where_it_is_used() -> None:
    point = {
        "title": "Point",
        "description": "A place.",
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
        "required": ["x"],
    }
    assert msgspec.json.decode(input_schema(Point) or b"") == {"$schema": DIALECT, **point}
    path = msgspec.json.decode(input_schema(Path) or b"")
    assert path["properties"]["points"]["items"] == {"$ref": "#/$defs/Point"}
    assert path["$defs"] == {"Point": point}  # used twice


def test_a_recursive_definition_stays_a_reference() -> None:
    tree = msgspec.json.decode(input_schema(Tree) or b"")
    assert tree["$ref"] == "#/$defs/Tree"
    assert set(tree["$defs"]) == {"Tree"}


@pytest.mark.parametrize("either", [Good | Bad, Union[Good, Bad]])  # noqa: UP007  # both kinds
def test_a_result_may_be_one_of_several_dataclasses(either: Any) -> None:
    schema = msgspec.json.decode(result_schema(either) or b"")
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"value": 1})
    assert validator.is_valid({"reason": "a"})
    assert not validator.is_valid({})
    with pytest.raises(TypeError):  # but which is it, when one is read?
        decoder(either)
    with pytest.raises(TypeError):
        input_schema(either)


def test_none_is_null() -> None:
    assert encode(None) == b"null"
    assert msgspec.json.decode(result_schema(None) or b"") == {"$schema": DIALECT, "type": "null"}


class Loud(str):
    __slots__ = ()


class Measured(float):
    pass


class Counted:
    """An integer as numpy has them: of a type of its own."""

    def __int__(self) -> int:
        return 2**53 + 1

    def __float__(self) -> float:
        return float(2**53)


Integral.register(Counted)


def test_what_can_be_written() -> None:
    value = [
        Point(1),
        date(2026, 1, 31),
        Decimal("1.5"),
        {1},
        b"ab",
        math.nan,
        math.inf,
        Loud("a"),
        Measured(1.5),
        Fraction(1, 4),
        Counted(),
    ]
    assert encode(value) == (
        b'[{"x":1,"y":0},"2026-01-31","1.5",[1],"YWI=",null,null,"a",1.5,0.25,9007199254740993]'
    )


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, "\ud800", [print]])
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_comes_back_as_it_went(value: Any) -> None:
    assert decoder(Any)(encode(value)) == value


@given(st.builds(Path, st.lists(st.builds(Point, st.integers(-(2**63), 2**64 - 1)))))
def test_any_value_of_a_type_comes_back_as_it_went(path: Path) -> None:
    assert decoder(Path)(encode(path)) == path


# --- pydantic ----------------------------------------------------------------------------------


def test_pydantic_models_are_read_described_and_written() -> None:
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", size=(int, pydantic.Field(gt=0)))
    model = pydantic.create_model(
        "Model", name=(str, ...), inner=(inner, ...), by=(str, pydantic.Field("a", alias="byWhom"))
    )
    good = {"name": "a", "inner": {"size": 1}, "byWhom": "b"}

    models: Any = list.__class_getitem__(model)
    for kind, fits in ((model, good), (models, [good]), (model | None, None)):
        decode = decoder(kind)
        assert msgspec.json.decode(encode(decode(msgspec.json.encode(fits)))) == fits
        for make in (input_schema, result_schema):
            parsed = msgspec.json.decode(make(kind) or b"")
            assert parsed["$schema"] == DIALECT
            jsonschema_rs.meta.validate(parsed)
            validator = jsonschema_rs.Draft202012Validator(parsed)
            assert validator.is_valid(fits)
            assert not validator.is_valid({"name": 1})


def test_what_pydantic_refuses_is_told_without_the_values() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", numbers=(list[int], ...), **dict.fromkeys("abcdef", int))
    with pytest.raises(msgspec.ValidationError) as caught:
        decoder(model)(b'{"numbers":[1,"secret"]}')
    told = str(caught.value)
    assert "valid integer, unable to parse string as an integer - at `$.numbers[1]`; " in told
    assert told.endswith("; and 2 more")
    assert "secret" not in told
    assert "https:" not in told
    with pytest.raises(msgspec.ValidationError) as caught:
        decoder(model)(b"[]")
    assert str(caught.value) == "Input should be an object"
    five = pydantic.create_model("Five", **dict.fromkeys("abcde", int))
    with pytest.raises(msgspec.ValidationError) as caught:
        decoder(five)(b"{}")
    assert str(caught.value).endswith("Field required - at `$.e`")


def test_pydantic_models_are_described_as_they_are_read_and_as_they_are_written() -> None:
    pydantic = pytest.importorskip("pydantic")
    by = pydantic.Field(validation_alias="byWhom", serialization_alias="doneBy")
    model = pydantic.create_model("Model", by=(str, by))
    read, written = {"byWhom": "b"}, {"doneBy": "b"}
    assert msgspec.json.decode(encode(decoder(model)(msgspec.json.encode(read)))) == written
    for made, own in ((input_schema(model), read), (result_schema(model), written)):
        parsed = msgspec.json.decode(made or b"")
        assert parsed["properties"].keys() == own.keys()
