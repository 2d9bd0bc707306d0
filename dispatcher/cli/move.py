"""`dispatcher migrate --from … --to …`: move all from SQLite to PostgreSQL; and `--undo`."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path
from typing import Final

import click

from dispatcher.adapters.secrets import key_file, open_vault
from dispatcher.adapters.sqlite.leaving import LeavingFile
from dispatcher.adapters.system import SystemRandom, Uuid7Ids
from dispatcher.cli.options import print_json, settings_of
from dispatcher.core.errors import SecretsUnreadable
from dispatcher.moving import Moved, move, undo
from dispatcher.ports.moving import MoveSource, MoveTarget
from dispatcher.settings import Settings
from dispatcher.settings.store_url import database_of, is_sqlite
from dispatcher.stores import moving_target

_TELL_SECONDS: Final = 1.0


class _Telling:
    """Says how far it has come: at most once a second, and when a table is there."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told_at = time.monotonic()

    def __call__(self, table: str, rows: int, total: int) -> None:
        now = time.monotonic()
        if rows < total and now - self._told_at < _TELL_SECONDS:
            return
        self._told_at = now
        if self._as_json:
            print_json({"event": "moving", "table": table, "rows": rows, "of": total})
        elif rows < total:
            print(f"{table}: {rows:,} of {total:,} rows", flush=True)
        else:
            print(f"{table}: {rows:,} rows", flush=True)


class _Proof:
    """The proof of a key that a database holds; where there is none, any key will do."""

    def __init__(self, proof: bytes | None) -> None:
        self._proof = proof

    async def key_check(self, token: bytes | None) -> bytes | None:
        return self._proof or token


def move_command(source: str, target: str, config: Path | None, *, as_json: bool) -> None:
    """Move all of `source` to `target`, and say what came of it."""
    if not is_sqlite(source) or is_sqlite(target):
        raise click.UsageError(
            "--from is a SQLite file (sqlite:///FILE) and --to a PostgreSQL database "
            "(postgresql://…): there is no other way to move."
        )
    database = database_of(source)
    leaving = LeavingFile(database)
    given = settings_of({"store": source}, config).settings.secret_key
    if given is None:
        raise SecretsUnreadable(
            "DISPATCHER_SECRET_KEY must be set, here and for each service on PostgreSQL, to the "
            f"key that sealed the secrets in {database}: "
            f'export DISPATCHER_SECRET_KEY="$(cat {shlex.quote(str(key_file(database)))})"'
        )
    settings = settings_of({"store": target}, config).settings
    began = time.monotonic()
    moved = asyncio.run(_move(leaving, settings, _Telling(as_json=as_json)))
    seconds = time.monotonic() - began
    if as_json:
        told = {"event": "moved", "from": str(database.resolve()), "to": settings.store_shown}
        print_json(told | {"before": moved.before, "rows": moved.rows})
    else:
        _say(moved, database, settings, seconds)


def _say(moved: Moved, database: Path, settings: Settings, seconds: float) -> None:
    if moved.before:
        print(f"{database} was moved to {settings.store_shown} before: serve that.")
        return
    print(
        f"{sum(moved.rows.values()):,} rows of {len(moved.rows)} tables are in "
        f"{settings.store_shown}, as many of each as in {database} ({seconds:.1f} s).\n"
        "Serve that from now on, with the same DISPATCHER_SECRET_KEY. "
        f"{database} is left as it was, and is refused by `dispatcher serve`."
    )


async def _move(leaving: LeavingFile, settings: Settings, tell: _Telling) -> Moved:
    with leaving as source:
        async with moving_target(settings) as target:
            await _check_key(source, target, settings)
            return await move(source, target, move_id=Uuid7Ids().new("mov"), tell=tell)


async def _check_key(source: MoveSource, target: MoveTarget, settings: Settings) -> None:
    """See that the key that is set is the one of both; before anything is changed."""
    key = None if settings.secret_key is None else settings.secret_key.reveal()
    proofs = {source.shown: source.key_proof(), target.shown: (await target.look()).key_proof}
    for shown, proof in proofs.items():
        await open_vault(_Proof(proof), secret_key=key, database=shown, random=SystemRandom())


def undo_command(source: str, *, as_json: bool) -> None:
    """Let a file be served again that was moved, or was to be."""
    with LeavingFile(database_of(source)) as leaving:
        said = undo(leaving)
    if as_json:
        print_json({"event": "undone", "from": leaving.shown, "moved": said is not None})
    elif said is None:
        print(f"{leaving.shown} was not moved: nothing to undo.")
    else:
        print(
            f"{leaving.shown} may be served again. What {said.to} holds of it must not be served "
            "as well: callbacks would be sent twice."
        )
