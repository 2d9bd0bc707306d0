"""Every call of a real service, tried by its own description: no 5xx, and nothing undescribed."""

from __future__ import annotations

import os

import pytest

from scripts.outside.process import TRIAL_STORE
from tests.whole.fuzzing import ECHO, REMOTE, SECONDS, TYPES, finds_nothing


@pytest.mark.whole
@pytest.mark.timeout(SECONDS + 20)
def test_schemathesis_finds_nothing() -> None:
    """By who may make every call, every bound of every member is tried once.

    On PostgreSQL only what finds something new there in a short time: bounds are checked before the
    store is asked. `scripts/fuzz --store` tries them there, too.
    """
    if TRIAL_STORE in os.environ:
        finds_nothing("dev", ("Examples", "Fuzzing", "Stateful"), {REMOTE, ECHO})
    else:
        finds_nothing("dev", ("Examples", "Coverage", "Fuzzing", "Stateful"), TYPES)
