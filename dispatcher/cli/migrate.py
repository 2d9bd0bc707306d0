"""`dispatcher migrate`: bring the database up to date without serving it, or move what it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from dispatcher.cli.move import move_command, undo_command
from dispatcher.cli.opening import opened
from dispatcher.cli.options import print_json, settings_of, with_json, with_store
from dispatcher.settings import Settings


@click.command("migrate")
@with_store
@click.option(
    "--from", "source", metavar="URL", help="Move all of this SQLite file (sqlite:///FILE) …"
)
@click.option(
    "--to", "target", metavar="URL", help="… to this PostgreSQL database (postgresql://…)."
)
@click.option(
    "--undo", is_flag=True, help="With --from: let the file be served again; see the guide."
)
@with_json
def migrate_command(
    config: Path | None,
    store: str | None,
    source: str | None,
    target: str | None,
    undo: bool,
    as_json: bool,
) -> None:
    """Bring the database up to date, or make it; or move from SQLite to PostgreSQL.

    `serve` brings SQLite up to date when it starts; run this to have it done before. On PostgreSQL
    `serve` makes the schema in an empty database, and leaves one that holds data to this.

    With --from and --to all that a SQLite file holds is moved to an empty PostgreSQL database. The
    file must not be served meanwhile, nor afterwards. Stopped at any moment, the same command goes
    on where it was.
    """
    if source is None and (target is not None or undo):
        raise click.UsageError("--to and --undo need --from: what is to be moved.")
    if source is None:
        _bring_up(config, store, as_json=as_json)
        return
    if store is not None or (target is None) is not undo:
        raise click.UsageError("--from goes with --to, or with --undo, and without --store.")
    if target is None:
        undo_command(source, as_json=as_json)
    else:
        move_command(source, target, config, as_json=as_json)


def _bring_up(config: Path | None, store: str | None, *, as_json: bool) -> None:
    settings = settings_of({"store": store}, config).settings
    fresh = settings.on_sqlite and not settings.database.exists()
    asyncio.run(_migrate(settings))
    if as_json:
        print_json({"database": settings.store_shown, "created": fresh})
    else:
        print(f"{settings.store_shown} {'was made' if fresh else 'is up to date'}.")


async def _migrate(settings: Settings) -> None:
    async with opened(settings, make=True, migrate=True) as both:
        await both.store.check()
