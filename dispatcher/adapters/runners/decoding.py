"""From JSON to what a handler takes."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from contextlib import suppress
from types import NoneType
from typing import (
    Any,
    Final,
    ForwardRef,
    Literal,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Raw

from dispatcher.adapters.runners.schemas import pydantic_adapter, says_nothing

Decode: TypeAlias = Callable[[bytes], Any]

_MAX_FAULTS: Final = 5
_PLAIN: Final = (str, int, float, bool, NoneType, bytes)
_EXACT: Final = 2**53
_WORTH_A_LOOK: Final[dict[type, frozenset[str]]] = {}
_MOST_REWRITTEN: Final = 65_536
"""A larger input is not read a second time: others wait meanwhile."""


def decoder(annotation: Any) -> Decode:
    """What reads an input as `annotation` says; any JSON without an annotation.

    It raises `msgspec.DecodeError`, whose text is fit for the caller, if the input does not fit.

    Raises:
        TypeError: JSON can't be read as such a type.
    """
    if says_nothing(annotation):
        return msgspec.json.Decoder().decode
    adapter = pydantic_adapter(annotation)
    if adapter is not None:
        return _pydantic_decoder(adapter)
    return _msgspec_decoder(annotation)


def _msgspec_decoder(annotation: Any) -> Decode:
    read = msgspec.json.Decoder(annotation).decode
    incomplete = _may_hold_dataclasses(annotation)

    def decode(data: bytes) -> Any:
        try:
            value = read(data)
        except msgspec.ValidationError:
            value = _read_whole(read, data)
        if incomplete:
            _complete(value, set())
        return value

    return decode


def _read_whole(read: Decode, data: bytes) -> Any:
    """Read once more: 2.0 is an integer in JSON Schema (2020-12, core, 6.3), and was let in."""
    tried = data
    for signed_zeros in (True, False):  # -0.0 is one, too, and keeps its sign if it can
        whole = data if len(data) > _MOST_REWRITTEN else _whole(data, signed_zeros=signed_zeros)
        if whole != tried:
            with suppress(msgspec.ValidationError):
                return read(whole)
        tried = whole
    return read(data)  # which says what is wrong with what was sent


def _whole(raw: bytes, *, signed_zeros: bool) -> bytes:
    """The same JSON with whole numbers as integers; what else stands in it keeps its bytes.

    An integer has no -0: with `signed_zeros` that is left as it is.
    """
    raw = raw.strip()
    match raw[:1]:
        case b"{":
            members = msgspec.json.decode(raw, type=dict[str, Raw])
            each = {k: _whole(bytes(v), signed_zeros=signed_zeros) for k, v in members.items()}
            return msgspec.json.encode({k: Raw(v) for k, v in each.items()})
        case b"[":
            items = msgspec.json.decode(raw, type=list[Raw])
            wholes = [_whole(bytes(item), signed_zeros=signed_zeros) for item in items]
            return msgspec.json.encode([Raw(item) for item in wholes])
        case b'"' | b"t" | b"f" | b"n":
            return raw
    value = float(raw)
    if signed_zeros and not value and raw.startswith(b"-"):
        return raw
    is_whole = value.is_integer() and abs(value) < _EXACT and not raw.isdigit()
    return b"%d" % value if is_whole else raw


def _may_hold_dataclasses(annotation: Any, seen: dict[int, Any] | None = None) -> bool:
    """Whether what is read may have a dataclass in it; True where that can't be told.

    `seen` keeps what was looked at: another that is made meanwhile would have its identity.
    """
    seen = {} if seen is None else seen
    origin = get_origin(annotation)
    if id(annotation) in seen or origin is Literal:
        return False
    seen[id(annotation)] = annotation
    if isinstance(annotation, str | ForwardRef | TypeVar):
        return True
    if dataclasses.is_dataclass(origin or annotation):
        return True
    parts = [*get_args(annotation), origin]
    parts += [getattr(annotation, name, None) for name in ("__supertype__", "__value__")]
    if isinstance(annotation, type):
        try:
            parts += get_type_hints(annotation).values()
        except Exception:  # noqa: BLE001  # hints may name anything, and be of any kind
            return True
    return any(_may_hold_dataclasses(part, seen) for part in parts if part is not None)


def _worth_a_look(kind: Any) -> frozenset[str]:
    """The members of a class that may hold dataclasses: a long list of numbers does not."""
    known = _WORTH_A_LOOK.get(kind)
    if known is not None:
        return known
    names = {*getattr(kind, "__struct_fields__", ())}
    names |= {each.name for each in getattr(kind, "__attrs_attrs__", ())}
    if dataclasses.is_dataclass(kind):
        names |= {each.name for each in dataclasses.fields(kind)}
    try:
        hints = get_type_hints(kind)
    except Exception:  # noqa: BLE001  # as above
        hints = {}
    found = frozenset(name for name in names if _may_hold_dataclasses(hints.get(name, "?")))
    _WORTH_A_LOOK[kind] = found
    return found


def _complete(value: Any, seen: set[int]) -> None:
    """Write down what dataclasses were not given.

    msgspec leaves a plain default to the class, and writes only what the instance has: without this
    a handler that gives back its input, or a part of it, would lose every default in it. `seen` are
    the objects that were looked at, for they may name each other.
    """
    if isinstance(value, _PLAIN):
        return
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _complete(each, seen)
    elif isinstance(value, dict):
        for each in value.values():
            _complete(each, seen)
    elif id(value) not in seen:
        seen.add(id(value))
        if dataclasses.is_dataclass(value):
            _complete_dataclass(value)
        for name in _worth_a_look(type(value)):
            if hasattr(value, name):
                _complete(getattr(value, name), seen)


def _complete_dataclass(value: Any) -> None:
    own = getattr(value, "__dict__", None)  # with slots all are there
    fields = dataclasses.fields(value)
    if own is None or own.keys() >= {field.name for field in fields}:
        return
    left_out = {
        field.name
        for field in fields
        if field.init and getattr(type(value), field.name, own) is field.default
    }
    names = [field.name for field in fields if field.name in own or field.name in left_out]
    stands = {name: getattr(value, name) for name in names} | own
    own.clear()
    own.update(stands)


def _pydantic_decoder(adapter: Any) -> Decode:
    refusal: type[Exception] = importlib.import_module("pydantic").ValidationError

    def decode(data: bytes) -> Any:
        try:
            return adapter.validate_json(data)
        except refusal as error:
            # Not its str(): that has the values themselves and links to pydantic's pages.
            faults = cast("Any", error).errors(
                include_url=False, include_context=False, include_input=False
            )
            told = [_fault(fault["msg"], fault["loc"]) for fault in faults[:_MAX_FAULTS]]
            if len(faults) > _MAX_FAULTS:
                told.append(f"and {len(faults) - _MAX_FAULTS} more")
            raise msgspec.ValidationError("; ".join(told)) from error

    return decode


def _fault(message: str, where: tuple[int | str, ...]) -> str:
    """As msgspec says it: the message, and the place by a path from `$`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return f"{message} - at `${path}`" if path else message
