"""A store with a long past: one job's rows, multiplied by SQL; kept for the next run.

A service of the same checkout makes the job, so that nothing here knows the columns of its tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

import msgspec

from scripts.outside.api import Api
from scripts.outside.process import Credentials, Service, free_port

from .processes import ROOT, process, written
from .receiver import ReceiverOrder
from .terms import BenchmarkFailed, Terms

KEPT_FOR_SECONDS: Final = 360 * 86_400
CALLER: Final = "caller.json"
AT_ONCE: Final = 50_000

# Whose rows a job has, and which of their columns are numbers of rows.
_TABLES: Final = {
    "job": ("seq",),
    "job_input": ("job_seq",),
    "job_result": ("job_seq",),
    "event": ("seq", "job_seq"),
    "delivery": ("seq", "job_seq", "event_seq"),
}


async def seed(folder: Path, terms: Terms, *, rows: int, delivered: bool) -> None:
    """Put a store with so many ended jobs into `folder`, delivered or with a callback that waits.

    Raises:
        BenchmarkFailed: the one job did not come to its end.
    """
    if terms.seeds is None:
        await _make(folder, terms, rows=rows, delivered=delivered)
        return
    name = f"{'delivered' if delivered else 'waiting'}-{rows}-{_schema(terms.tree or ROOT)}"
    kept = terms.seeds / name
    if not kept.exists():
        making = terms.seeds / f"{name}.making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        await _make(making, terms, rows=rows, delivered=delivered)
        making.rename(kept)
    await asyncio.to_thread(shutil.copytree, kept, folder, dirs_exist_ok=True)


async def store_with_caller(folder: Path, terms: Terms, made: dict[Path | None, Path]) -> None:
    """Put an empty store with a caller into `folder`.

    It is made once a run: `made` holds by checkout where that one lies.
    """
    if terms.tree not in made:
        # Beside the scenarios' own folders, so that it goes when they do.
        fresh = terms.folder / "fresh"
        fresh.mkdir(parents=True)
        service = Service(fresh, tree=terms.tree)
        caller = await service.create_caller("benchmark")
        (fresh / CALLER).write_bytes(msgspec.json.encode(caller))
        made[terms.tree] = fresh
    await asyncio.to_thread(shutil.copytree, made[terms.tree], folder, dirs_exist_ok=True)


def kept_caller(folder: Path) -> Credentials | None:
    """The caller whose jobs a seeded store holds; None: it was not seeded."""
    file = folder / CALLER
    return msgspec.json.decode(file.read_bytes(), type=Credentials) if file.exists() else None


def _schema(tree: Path) -> str:
    """Differs when the tables do: a store is only used by a service that made it."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted((tree / "dispatcher/adapters/sqlite/migrations").glob("*.sql")):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


async def _make(folder: Path, terms: Terms, *, rows: int, delivered: bool) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    service = Service(folder, allow=[origin], log_file=folder / "service.log", tree=terms.tree)
    with contextlib.ExitStack() as stack:
        if delivered:
            order = ReceiverOrder([port], str(folder / "findings.json"))
            stack.enter_context(process("receiver", written(order, folder)))
        try:
            caller = await service.create_caller("benchmark")
            await service.start()
            async with Api(service.url, caller.api_key) as api:
                await _one_job(api, f"{origin}/callbacks", delivered=delivered)
            await service.stop(60)
        finally:
            service.end()
    await asyncio.to_thread(_grow, folder, service.database, caller, rows)


def _grow(folder: Path, database: Path, caller: Credentials, rows: int) -> None:
    (folder / CALLER).write_bytes(msgspec.json.encode(caller))
    for left in (*folder.glob("order-*.json"), folder / "findings.json", folder / "service.log"):
        left.unlink(missing_ok=True)
    multiply(database, rows)


async def _one_job(api: Api, callback_url: str, *, delivered: bool) -> None:
    submitted = await api.submit(
        {
            "type": "dispatcher.echo",
            "input": {"order": "A-1001", "note": "x" * 1_000},
            "callbackUrl": callback_url,
            "retentionSeconds": KEPT_FOR_SECONDS,
            "correlationId": "0000000000",
        }
    )
    wanted = "delivered" if delivered else "pending"
    path = f"/v1/deliveries?jobId={submitted.json['id']}"
    for _ in range(500):
        items: list[dict[str, Any]] = (await api.call("GET", path)).json["items"]
        if items and items[0]["status"] == wanted and items[0]["attemptCount"]:
            return
        await asyncio.sleep(0.02)
    raise BenchmarkFailed(f"the job that is multiplied never had a callback that was {wanted}")


def multiply(database: Path, rows: int) -> None:
    """Make `rows` jobs of the one that is there, each with rows and ids of its own."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as opened:
        # Nobody else has it open, and it can be made anew.
        opened.execute("PRAGMA synchronous=OFF")
        opened.execute("PRAGMA foreign_keys=OFF")
        statements = [_statement(opened, table, numbers) for table, numbers in _TABLES.items()]
        for first in range(1, rows, AT_ONCE):
            opened.execute("BEGIN")
            for statement in statements:
                opened.execute(statement, (first, min(first + AT_ONCE, rows) - 1))
            opened.execute("COMMIT")
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _statement(opened: sqlite3.Connection, table: str, numbers: tuple[str, ...]) -> str:
    columns = [row[1] for row in opened.execute(f"PRAGMA table_info({table})")]
    values = []
    for column in columns:
        if column in numbers:
            values.append(f"t.{column} + n.i")
        elif column == "id":
            values.append("substr(t.id, 1, length(t.id) - 8) || printf('%08d', n.i)")
        else:
            values.append(f"t.{column}")
    first = numbers[0]
    return (  # the names are those of the tables
        f"WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "  # noqa: S608  # nothing in it comes from outside
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM n, (SELECT * FROM {table} ORDER BY {first} LIMIT 1) AS t"
    )
