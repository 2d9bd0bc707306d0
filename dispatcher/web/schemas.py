"""Inputs against the JSON Schema of their type, all errors at once."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec.structs import replace

from dispatcher.core.errors import FieldError, SettingsError
from dispatcher.core.model import Job, JobType
from dispatcher.core.submission import pointer
from dispatcher.engine.catalog import Catalog
from dispatcher.web.faults import MAX_FAULTS

_DETAIL_CHARACTERS: Final = 500
_CAPITAL: Final = re.compile("(?<!^)(?=[A-Z])")


def _float(text: str) -> float:
    """Python reads each as fast; msgspec takes a hundred times as long for some, such as 1e308."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("Number out of range")
    return value


_decode: Final = msgspec.json.Decoder(float_hook=_float).decode


class Schemas:
    """Validators, each compiled once and again only when its type's schema changed."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[bytes, Any]] = {}

    def check(self, kind: JobType) -> None:
        """Raise `SettingsError` if the type's schema is none."""
        if kind.schema is not None:
            self._validator(kind.name, kind.schema)

    def find_faults(self, kind: JobType, body: bytes) -> list[FieldError]:
        """What is wrong with an input, with pointers that begin with `/input`; empty: nothing.

        Raises:
            SettingsError: the type's schema is none.
        """
        if kind.schema is None:
            return []
        validator = self._validator(kind.name, kind.schema)
        try:
            value = _decode(body)
            if validator.is_valid(value):
                return []
            errors = list(itertools.islice(validator.iter_errors(value), MAX_FAULTS))
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            return [FieldError("/input", "out-of-range", f"It can't be validated: {error}")]
        faults = [fault for error in errors for fault in _faults(error)]
        return faults[:MAX_FAULTS]

    def find_result_faults(self, kind: JobType, body: bytes) -> list[FieldError]:
        """The same of a result, with pointers that begin with `/result`."""
        if kind.result_schema is None:
            return []
        as_input = replace(kind, name=f"{kind.name} (result)", schema=kind.result_schema)
        return [
            replace(fault, pointer=fault.pointer.replace("/input", "/result", 1))
            for fault in self.find_faults(as_input, body)
        ]

    def _validator(self, name: str, schema: bytes) -> Any:
        known = self._compiled.get(name)
        if known is not None and known[0] == schema:
            return known[1]
        try:
            validator = jsonschema_rs.validator_for(schema.decode(), retriever=_refuse)
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            reason = str(error).partition("\n")[0]
            raise SettingsError(f"The schema of type {name} is no JSON Schema: {reason}") from None
        self._compiled[name] = (schema, validator)
        return validator


def _refuse(uri: str) -> Any:
    raise ValueError(f"schemas are not fetched: {uri}")


def _faults(error: Any) -> list[FieldError]:
    """One error as faults: a missing or unexpected member is pointed at by its own name."""
    at = ("input", *error.instance_path)
    kind = error.kind
    code = f"schema-{_CAPITAL.sub('-', type(kind).__name__).lower()}"
    detail = error.message
    if len(detail) > _DETAIL_CHARACTERS:  # it quotes the value
        detail = detail[: _DETAIL_CHARACTERS - 1] + "…"
    if isinstance(missing := getattr(kind, "property", None), str):
        return [FieldError(pointer(*at, missing), code, detail)]
    unexpected = getattr(kind, "unexpected", None)
    if isinstance(unexpected, list | tuple) and all(isinstance(each, str) for each in unexpected):
        return [FieldError(pointer(*at, name), code, detail) for name in unexpected]
    return [FieldError(pointer(*at), code, detail)]


def replayable(catalog: Catalog) -> Callable[[Job, bytes], bool]:
    """Tells whether a job with this input could be submitted now, as types and schemas are now."""
    schemas = Schemas()

    def may_replay(job: Job, body: bytes) -> bool:
        kind = catalog.get(job.type)
        return kind is not None and not schemas.find_faults(kind, body)

    return may_replay
