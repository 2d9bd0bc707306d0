"""Every call of a real service, tried by its own description: no 5xx, and nothing undescribed."""

from __future__ import annotations

import pytest

from tests.whole.fuzzing import SECONDS, TYPES, finds_nothing


@pytest.mark.whole
@pytest.mark.timeout(SECONDS + 20)
def test_schemathesis_finds_nothing() -> None:
    """Every bound of every member is tried once, by who may make every call."""
    finds_nothing("dev", ("Examples", "Coverage", "Fuzzing", "Stateful"), TYPES)
