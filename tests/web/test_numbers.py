"""Numbers of inputs that are hard to read."""

from __future__ import annotations

import time

import pytest

from dispatcher.core.model import JobType
from dispatcher.web.schemas import Schemas

SCHEMA = b'{"type": "array", "items": {"type": "number"}}'
NUMBERS = JobType(name="numbers", runner="python", schema=SCHEMA)


@pytest.mark.parametrize("number", [b"1e308", b"1e23", b"1.5", b"-1e-300"])
def test_no_number_takes_long(number: bytes) -> None:
    """Others wait meanwhile: some of these took a hundred times as long as others, 3 s for 1 MB."""
    body = b"[" + b",".join([number] * 150_000) + b"]"
    began = time.process_time()
    assert Schemas().find_faults(NUMBERS, body) == []
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize("number", [b"1e400", b"-1e400"])
def test_what_no_float_can_hold_is_a_fault(number: bytes) -> None:
    (fault,) = Schemas().find_faults(NUMBERS, b"[1.0," + number + b"]")
    assert (fault.pointer, fault.code) == ("/input", "out-of-range")
