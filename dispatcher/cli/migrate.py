"""`dispatcher migrate`: bring the database up to date without serving it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from dispatcher.cli.opening import opened
from dispatcher.cli.options import print_json, settings_of, with_json, with_store
from dispatcher.settings import Settings


@click.command("migrate")
@with_store
@with_json
def migrate_command(config: Path | None, store: str | None, as_json: bool) -> None:
    """Bring the database up to date, or make it.

    `serve` does the same for SQLite when it starts; run this to have it done before. On PostgreSQL
    `serve` makes the schema in an empty database, and leaves one that holds data to this.
    """
    settings = settings_of({"store": store}, config).settings
    fresh = settings.on_sqlite and not settings.database.exists()
    asyncio.run(_migrate(settings))
    if as_json:
        print_json({"database": settings.store_shown, "created": fresh})
    else:
        print(f"{settings.store_shown} {'was made' if fresh else 'is up to date'}.")


async def _migrate(settings: Settings) -> None:
    async with opened(settings, migrate=True) as both:
        await both.store.check()
