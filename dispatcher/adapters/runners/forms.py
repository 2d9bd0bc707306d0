"""From JSON to what a handler takes, and from what it gives to JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Final, TypeAlias, cast

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
    return msgspec.json.Decoder(annotation).decode


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


def _write(value: Any) -> Any:
    """What msgspec does not write by itself: pydantic models, and subclasses of text and numbers.

    The latter are enums of other libraries, numpy's scalars and the like.
    """
    dump = getattr(value, "model_dump_json", None)
    if dump is not None:
        return msgspec.Raw(dump(by_alias=True).encode())
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"objects of type {type(value).__name__} can't be written as JSON")


encode: Final = msgspec.json.Encoder(enc_hook=_write).encode
"""A result or an output as JSON in UTF-8.

Takes what msgspec does (dataclasses, Structs, TypedDicts, attrs, datetimes, enums …; NaN and
infinity become null) and pydantic models. Raises TypeError, ValueError or RecursionError for what
can't be written.
"""
