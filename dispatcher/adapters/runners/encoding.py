"""From what a handler gives to JSON."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Final

import msgspec


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
