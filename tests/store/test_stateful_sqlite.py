from __future__ import annotations

import pytest

from dispatcher.testing.conformance import stateful
from tests.store.conftest import SqliteBackend

TestStateful = stateful(SqliteBackend)

pytestmark = pytest.mark.timeout(600)  # one test of many hundred steps, on a busy machine
