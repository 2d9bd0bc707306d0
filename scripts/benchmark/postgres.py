"""The PostgreSQL that is measured: one started for the run, or one that is there already.

One of the benchmark's own is set as docs/howto/postgresql.md says, and each scenario has a new
database on it: what a scenario left behind, and the vacuum that follows, is not the next one's.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

from dispatcher.adapters.postgres.connection import Address
from scripts.outside.database import Server
from scripts.outside.process import free_port

from .terms import BenchmarkFailed

DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
SHOWN: Final = (*DURABLE, "shared_buffers", "max_wal_size", "wal_compression", "huge_pages_status")

_MOST_BUFFERS_MB: Final = 1024
_EMPTY_MB: Final = 20

_numbers = itertools.count()


def settings() -> dict[str, str]:
    """Those of docs/howto/postgresql.md; a commit is synced, which PostgreSQL does unasked."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        "max_connections": "200",
        "shared_buffers": f"{min(memory_mb // 4, _MOST_BUFFERS_MB)}MB",
        "max_wal_size": "8GB",
        "wal_compression": "on",
        "maintenance_work_mem": "256MB",
        "autovacuum_work_mem": "256MB",
    }


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[Server]:
    """A server that ends with this; its files are in `folder`.

    Raises:
        BenchmarkFailed: it did not start.
    """
    folder.chmod(0o755)  # PostgreSQL runs as somebody else where this is root
    server = Server(folder / "postgres", "127.0.0.1", settings=settings(), port=free_port())
    try:
        try:
            server.create()
            server.start()
        except (OSError, RuntimeError) as error:
            raise BenchmarkFailed(
                f"no PostgreSQL came up in {folder}: {error}\nSee that its user"
                " (nobody, if you are root) can reach the folder, or give --store."
            ) from error
        yield server
    finally:
        server.remove()


def new_database(server: Server) -> str:
    """The URL of an empty database, through the server's socket."""
    name = f"benchmark_{next(_numbers)}"
    server.ask(f"CREATE DATABASE {name}")
    return server.url(name)


async def described(url: str) -> dict[str, str]:
    """What of a server decides its figures, and how much there is in the database.

    Raises:
        BenchmarkFailed: it can't be asked.
    """
    try:
        connection = await asyncpg.connect(Address.parse(url).dsn, timeout=10)
        try:
            rows = await connection.fetch(
                "SELECT name, current_setting(name) AS value FROM pg_settings"
                " WHERE name = ANY($1) OR name = 'server_version'",
                SHOWN,
            )
            size = await connection.fetchval("SELECT pg_database_size(current_database()) >> 20")
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise BenchmarkFailed(f"the PostgreSQL can't be asked: {error}") from error
    return {row["name"]: row["value"] for row in rows} | {"database": f"{size} MB"}


def doubts(found: dict[str, str]) -> list[str]:
    """Why figures of such a server would say little, each with what to do."""
    said = [
        f"{name} is {found[name]}: a commit costs less there than where it is safe. Turn it on."
        for name in DURABLE
        if found.get(name) in {"off", "local"}
    ]
    if found.get("shared_buffers") == "128MB":
        said.append(
            "shared_buffers is 128MB, as it comes: what is open does not stay in it. See"
            " docs/howto/postgresql.md, or let --postgres start one that is set as it says."
        )
    if int(found["database"].split()[0]) > _EMPTY_MB:
        said.append(
            f"the database holds {found['database']}, which its vacuum reads meanwhile."
            " Give an empty one, or --postgres."
        )
    return said
