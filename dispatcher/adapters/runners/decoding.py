"""From JSON to what a handler takes."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable
from typing import (
    Any,
    Final,
    ForwardRef,
    Literal,
    TypeAlias,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from dispatcher.adapters.runners.schemas import pydantic_adapter, says_nothing

Decode: TypeAlias = Callable[[bytes], Any]

_MAX_FAULTS: Final = 5


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
    incomplete = _may_hold_dataclasses(annotation, set())

    def decode(data: bytes) -> Any:
        try:
            value = read(data)
        except msgspec.ValidationError:
            # 2.0 is an integer in JSON Schema (2020-12, core, 6.3), so that it was let in.
            whole = msgspec.json.encode(_whole(msgspec.json.decode(data)))
            try:
                value = read(whole)
            except msgspec.ValidationError:
                value = read(data)  # which says what is wrong with what was sent
        if incomplete:
            _complete(value)
        return value

    return decode


def _may_hold_dataclasses(annotation: Any, seen: set[int]) -> bool:
    """Whether what is read may have a dataclass in it; True where that can't be told."""
    origin = get_origin(annotation)
    if id(annotation) in seen or origin is Literal:
        return False
    seen.add(id(annotation))
    if isinstance(annotation, str | ForwardRef) or dataclasses.is_dataclass(origin or annotation):
        return True
    parts = [*get_args(annotation), origin]
    parts += [getattr(annotation, name, None) for name in ("__supertype__", "__value__")]
    if isinstance(annotation, type):
        try:
            parts += get_type_hints(annotation).values()
        except Exception:  # noqa: BLE001  # hints may name anything, and be of any kind
            return True
    return any(_may_hold_dataclasses(part, seen) for part in parts if part is not None)


def _whole(value: Any) -> Any:
    """The same JSON with whole numbers as integers."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def _complete(value: Any) -> None:
    """Write down what dataclasses were not given.

    msgspec leaves a plain default to the class, and writes only what the instance has: without this
    a handler that gives back its input, or a part of it, would lose every default in it.
    """
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _complete(each)
    elif isinstance(value, dict):
        for each in value.values():
            _complete(each)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _complete(getattr(value, name))
    elif dataclasses.is_dataclass(value):
        _complete_dataclass(value)
    else:
        for attribute in getattr(type(value), "__attrs_attrs__", ()):
            _complete(getattr(value, attribute.name))


def _complete_dataclass(value: Any) -> None:
    own = getattr(value, "__dict__", None)  # with slots all are there
    given = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
    if own is not None and not own.keys() >= set(given):
        left_out = {
            field.name
            for field in dataclasses.fields(value)
            if field.init and getattr(type(value), field.name, own) is field.default
        }
        stands = {
            name: getattr(value, name) for name in given if name in own or name in left_out
        } | own
        own.clear()
        own.update(stands)
    for name in given:
        _complete(getattr(value, name))


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
