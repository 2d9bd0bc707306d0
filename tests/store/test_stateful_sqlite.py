from __future__ import annotations

from dispatcher.testing.conformance import stateful
from tests.store.conftest import SqliteBackend

TestStateful = stateful(SqliteBackend)
