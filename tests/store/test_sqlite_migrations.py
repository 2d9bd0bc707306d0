"""From one schema to the next: forward only, all of it or nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dispatcher.adapters.sqlite import schema
from tests.store.test_sqlite_schema import DELIVERY, DONE, JOB, RUNNING, insert


def laid_out(path: Path) -> tuple[object, ...]:
    """Everything that tells two schemas apart."""
    with closing(sqlite3.connect(path)) as found:
        return (
            found.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall(),
            found.execute("SELECT name, value FROM meta ORDER BY name").fetchall(),
            found.execute("PRAGMA user_version").fetchone(),
            found.execute("PRAGMA application_id").fetchone(),
            found.execute("PRAGMA auto_vacuum").fetchone(),
            found.execute("PRAGMA journal_mode").fetchone(),
        )


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    known = schema.migrations()
    broken = schema.Migration(
        known[-1].number + 1, "9999_broken", "CREATE TABLE good (x);\nCREATE TABLE job (x);"
    )
    schema.prepare(path)
    monkeypatch.setattr(schema, "migrations", lambda: [*known, broken])
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.prepare(path)
    monkeypatch.setattr(schema, "migrations", lambda: known)
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as found:
        names = {name for (name,) in found.execute("SELECT name FROM sqlite_schema")}
    assert "good" not in names


@pytest.mark.parametrize("version", range(1, len(schema.migrations())))
def test_an_older_schema_comes_to_be_what_a_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """One made by each version before, with something in it that must still be there."""
    path, new = tmp_path / "store.db", tmp_path / "new.db"
    known = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: known[:version])
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as database:
        insert(database, "caller", {"id": "clr_1", "name": "ann", "created_at": 1})
        secret = {"caller_id": "clr_1", "sealed": b"s", "created_at": 1}
        insert(database, "secret", secret)
        insert(database, "job", JOB)
        owed = dict(DELIVERY)
        if version < 3:  # since then it stands in the row
            del owed["caller_id"]
        insert(database, "delivery", owed)
        database.commit()
    monkeypatch.undo()
    schema.prepare(path)
    schema.prepare(new)
    assert laid_out(path) == laid_out(new)
    with closing(sqlite3.connect(path)) as database:
        for table in ("caller", "secret", "job", "delivery"):
            (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  # names of this file
            assert count == 1
        (whose,) = database.execute("SELECT caller_id FROM delivery").fetchone()
        assert whose == "clr_1"


def test_what_waits_already_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    known = schema.migrations()
    older = [step for step in known if step.name < "0008"]
    monkeypatch.setattr(schema, "migrations", lambda: older)
    schema.prepare(path)
    lane = {"caller_id": "clr_1", "queue": "q", "type": "t"}
    with closing(sqlite3.connect(path)) as database:
        insert(database, "lane", {**lane, "seq": 1})
        insert(database, "lane", {**lane, "seq": 2, "queue": "empty"})
        for number, state in ((1, {}), (2, {}), (3, RUNNING), (4, DONE)):
            insert(database, "job", {**JOB, **state, "seq": number, "id": f"job_{number}"})
            insert(database, "job_input", {"job_seq": number, "body": b"x" * number})
        database.commit()
    monkeypatch.undo()
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT seq, waiting, waiting_bytes FROM lane ORDER BY 1")
        assert rows.fetchall() == [(1, 2, 3), (2, 0, 0)]


def test_migrations_follow_one_another() -> None:
    numbers = [step.number for step in schema.migrations()]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
