"""What `dispatcher check` looks at on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from dispatcher.cli.findings import Finding, Level
from dispatcher.core.errors import SettingsError
from dispatcher.settings import Settings

_OLDEST: Final = 15
"""The oldest PostgreSQL that this version was tried on."""

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
    yield _schema(shown, found.schema, found.newest, refused=found.refused)
    major = found.version // 10_000
    if major < _OLDEST:
        yield Finding(
            "server",
            Level.WARN,
            f"PostgreSQL {major} is older than those that this version was tried on",
            f"upgrade it to {_OLDEST} or later",
        )
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


def _schema(shown: str, made: int | None, newest: int, *, refused: bool) -> Finding:
    """Whether this version can use the schema."""
    if made is None:
        return Finding(
            "database",
            Level.WARN,
            f"{shown} has no schema yet",
            "`dispatcher serve` makes it at its first start; if it should be there, check store",
        )
    if refused:
        return Finding(
            "database",
            Level.FAIL,
            f"{shown} has schema {made}; this version knows up to {newest}",
            "run the newer version that migrated it",
        )
    if made < newest:
        return Finding(
            "database",
            Level.FAIL,
            f"{shown} has schema {made}; this version needs {newest}",
            "run `dispatcher migrate`",
        )
    if made > newest:
        return Finding(
            "database",
            Level.OK,
            f"{shown}, schema {made} of a newer version, which this one can use",
        )
    return Finding("database", Level.OK, f"{shown}, schema {made}")
