from __future__ import annotations

import pytest

from dispatcher.testing.conformance import *  # noqa: F403  # every suite, those to come as well
from dispatcher.testing.conformance import Backend
from tests.store.postgres_backend import PostgresBackend


@pytest.fixture
def backend() -> Backend:
    return PostgresBackend()
