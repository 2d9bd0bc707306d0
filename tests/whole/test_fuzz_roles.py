"""The same for those who may make some calls only, which is decided before the store is asked."""

from __future__ import annotations

import pytest

from tests.whole.fuzzing import ECHO, REMOTE, SECONDS, finds_nothing


@pytest.mark.whole
@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize(
    ("role", "types"),
    [("operator", {REMOTE, ECHO}), ("caller", {REMOTE, ECHO}), ("worker", {REMOTE})],
)
def test_schemathesis_finds_nothing(role: str, types: set[str]) -> None:
    finds_nothing(role, ("Examples", "Fuzzing", "Stateful"), types)
