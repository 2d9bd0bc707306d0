from __future__ import annotations

from dispatcher.testing.conformance import stateful
from tests.store.postgres_backend import PostgresBackend

TestStateful = stateful(PostgresBackend)
