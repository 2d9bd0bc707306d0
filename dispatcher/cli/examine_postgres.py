"""What `dispatcher check` looks at on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from dispatcher.cli.findings import Finding, Level
from dispatcher.core.errors import SettingsError
from dispatcher.settings import Settings

_SPARE: Final = 10
"""Connections that others need: the administrator, backups, `psql`."""


def examine_postgres(settings: Settings) -> Iterator[Finding]:
    """Look at the database and its server; the schema comes first. Raises `DispatcherError`."""
    try:
        from dispatcher.adapters.postgres.looking import look  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"PostgreSQL needs {error.name}: pip install 'callback-dispatcher[postgres]'"
        ) from None
    found = asyncio.run(look(settings.store))
    shown = settings.store_shown
    if found.schema is None:
        yield Finding(
            "database",
            Level.WARN,
            f"{shown} has no schema yet",
            "`dispatcher serve` makes it at its first start; if it should be there, check store",
        )
    elif found.schema > found.newest:
        yield Finding(
            "database",
            Level.FAIL,
            f"{shown} has schema {found.schema}; this version knows up to {found.newest}",
            "run the newer version that migrated it",
        )
    elif found.schema < found.newest:
        yield Finding(
            "database",
            Level.FAIL,
            f"{shown} has schema {found.schema}; this version needs {found.newest}",
            "run `dispatcher migrate`",
        )
    else:
        yield Finding("database", Level.OK, f"{shown}, schema {found.schema}")
    if found.synchronous_commit == "off":
        yield Finding(
            "commits",
            Level.FAIL,
            "synchronous_commit is off: what was confirmed can be lost",
            "set it to on",
        )
    elif found.standbys and not found.waits_for_standbys:
        yield Finding(
            "standby",
            Level.WARN,
            f"{found.standbys} follow, and no commit waits for one: a fail-over can lose what was "
            "confirmed",
            "set synchronous_standby_names (and synchronous_commit to on or more)",
        )
    wanted = settings.postgres_connections * settings.processes
    if wanted + _SPARE > found.connections:
        yield Finding(
            "connections",
            Level.WARN,
            f"the server allows {found.connections}, and {settings.processes} of ours may open "
            f"{wanted}",
            "raise max_connections, or lower postgres_connections",
        )
