"""The PostgreSQL that is measured: one started for the run, or one that is there already.

One of the benchmark's own is set as docs/howto/postgresql.md says, but that it takes 1 GB of memory
at most and looks each five seconds for what to vacuum, so that every scenario pays for its own.
Each has a new database, and that of the one before is gone by then.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

from dispatcher.adapters.postgres.connection import Address
from scripts.outside.database import Server

from .terms import BenchmarkFailed

DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
SHOWN: Final = (
    *DURABLE,
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "autovacuum_naptime",
    "huge_pages_status",
)
"""What of a server decides its figures."""

HELD: Final = "database at first"
"""How much there is in the database before anything is measured; named so in a report."""

_MOST_BUFFERS_MB: Final = 1024
_FEW_BUFFERS_MB: Final = 128
_EMPTY_MB: Final = 20
_SOCKET_BYTES: Final = 107
_UNITS_MB: Final = {"kB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024 * 1024}


def settings() -> dict[str, str]:
    """Of a server of our own; a commit is synced, which PostgreSQL does unasked."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        "max_connections": "500",
        "shared_buffers": f"{min(memory_mb // 4, _MOST_BUFFERS_MB)}MB",
        "max_wal_size": "8GB",
        "wal_compression": "on",
        "maintenance_work_mem": "256MB",
        "autovacuum_work_mem": "256MB",
        "autovacuum_naptime": "5s",
    }


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[Server]:
    """A server that ends with this; its files are in `folder`.

    Raises:
        BenchmarkFailed: it did not start.
    """
    home = folder / "postgres"
    if len(os.fsencode(home / ".s.PGSQL.5432")) > _SOCKET_BYTES:
        raise BenchmarkFailed(
            f"{home} is too long a name for a folder with a socket: give a shorter --folder."
        )
    if os.geteuid() == 0:
        folder.chmod(0o755)  # PostgreSQL refuses to be root, and runs as somebody else
    server = Server(home, "", settings=settings())
    try:
        try:
            server.create()
            server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise BenchmarkFailed(
                f"no PostgreSQL came up in {folder}: {error}\nSee that its user"
                " (nobody, if you are root) can reach the folder, or give --store."
            ) from error
        yield server
    finally:
        # Killed, it would leave its shared memory behind.
        with contextlib.suppress(subprocess.SubprocessError):
            server.stop()
        server.remove()


def new_database(server: Server) -> str:
    """The URL of an empty database, through the server's socket; the one before is dropped.

    Raises:
        BenchmarkFailed: the server is gone.
    """
    try:
        server.ask("DROP DATABASE IF EXISTS benchmark WITH (FORCE)")
        server.ask("CHECKPOINT")
        server.ask("CREATE DATABASE benchmark")
    except (RuntimeError, subprocess.SubprocessError) as error:
        raise BenchmarkFailed(f"PostgreSQL makes no database any more: {error}") from error
    return server.url("benchmark")


async def described(url: str) -> dict[str, str]:
    """What of a server decides its figures, and how much there is in the database.

    Raises:
        BenchmarkFailed: it can't be asked.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise BenchmarkFailed(f"--store takes the URL of a PostgreSQL, postgresql://…, not {url}")
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
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BenchmarkFailed(f"the PostgreSQL can't be asked: {error}") from error
    return {row["name"]: row["value"] for row in rows} | {HELD: f"{size} MB"}


def doubts(found: dict[str, str]) -> list[str]:
    """Why figures of such a server would say little, each with what to do."""
    said = [
        f"{name} is {found[name]}: a commit costs less there than where it is safe. Turn it on."
        for name in DURABLE
        if found.get(name) in {"off", "local"}
    ]
    if _megabytes(found["shared_buffers"]) <= _FEW_BUFFERS_MB:
        said.append(
            f"shared_buffers is {found['shared_buffers']}: what is open does not stay in it. See"
            " docs/howto/postgresql.md, or let --postgres start one that is set as it says."
        )
    if _megabytes(found[HELD]) > _EMPTY_MB:
        said.append(
            f"the database holds {found[HELD]}, which its vacuum reads meanwhile."
            " Give an empty one, or --postgres."
        )
    return said


def _megabytes(size: str) -> float:
    """Of what PostgreSQL shows: `128MB`, `2GB`, `7 MB`."""
    found = re.fullmatch(r"(\d+) ?([kMGT]B)", size)
    return 0.0 if found is None else int(found[1]) * _UNITS_MB[found[2]]
