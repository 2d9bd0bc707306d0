"""What `dispatcher check` looks at. Nothing is made, migrated or mended."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dispatcher.adapters.runners.declared import missing_program
from dispatcher.adapters.secrets import given_key, key_file
from dispatcher.adapters.sqlite.connection import Use, connect
from dispatcher.adapters.sqlite.schema import APPLICATION_ID, migrations
from dispatcher.adapters.system import SystemRandom
from dispatcher.cli.examine_postgres import examine_postgres
from dispatcher.cli.findings import Finding, Level
from dispatcher.core.errors import DispatcherError, SettingsError
from dispatcher.ports.store import Store
from dispatcher.settings import CommandType, Parsed, Settings, parse_settings
from dispatcher.stores import open_store, open_vault_of

MIB: Final = 2**20
DISK_FAIL_BYTES: Final = 100 * MIB
DISK_WARN_BYTES: Final = 1024 * MIB
OTHERS: Final = 0o077
"""What a file's mode grants to others than its owner."""

SPARE_FILES: Final = 256
"""Open files that the service needs besides its callbacks: the store, callers, the log."""


def examine(
    environ: Mapping[str, str], flags: Mapping[str, object], config: Path | None
) -> Iterator[Finding]:
    """Look at everything, one finding after the other; never raises `DispatcherError`."""
    try:
        parsed = parse_settings(environ=environ, flags=flags, config=config)
    except SettingsError as error:
        yield Finding("settings", Level.FAIL, str(error), "correct it; all else follows from it")
        return
    yield from _settings(parsed)
    yield from _public_url(parsed.settings)
    yield from _types(parsed.settings)
    yield from _files(parsed.settings)
    yield from _given_key(parsed.settings)
    if parsed.settings.on_sqlite:
        yield from _database(parsed.settings)
    else:
        yield from _postgres(parsed.settings)


def _settings(parsed: Parsed) -> Iterator[Finding]:
    sources = sorted(set(parsed.sources.values()))
    yield Finding("settings", Level.OK, f"from {', '.join(sources)}" if sources else "all defaults")
    for warning in parsed.warnings:
        yield Finding("settings", Level.WARN, warning, "correct its name, or take it away")


def _public_url(settings: Settings) -> Iterator[Finding]:
    url = settings.links_base()
    if settings.dev:
        yield Finding("public_url", Level.OK, f"{url} (dev)")
    elif settings.public_url is None:
        yield Finding(
            "public_url",
            Level.WARN,
            f"is not set: links and callbacks name {url}",
            "set it to what callers reach the service at",
        )
    elif urlsplit(url).scheme != "https":
        yield Finding(
            "public_url",
            Level.WARN,
            f"{url} is not https: API keys and inputs travel in the clear",
            "put a proxy with TLS before the service, and name it with https",
        )
    else:
        yield Finding("public_url", Level.OK, url)


def _types(settings: Settings) -> Iterator[Finding]:
    for each in settings.types:
        missing = missing_program(each) if isinstance(each, CommandType) else None
        if missing is None:
            yield Finding("type", Level.OK, each.name)
        else:
            yield Finding("type", Level.FAIL, missing, "without it the service does not start")


def _files(settings: Settings) -> Iterator[Finding]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # the service takes all of it
    needed = settings.deliveries_at_once * 2 + SPARE_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        yield Finding(
            "open files",
            Level.WARN,
            f"this user may open {most}; {needed} may be needed",
            f"raise it (ulimit -Hn {needed}; LimitNOFILE= of systemd)",
        )
    else:
        yield Finding("open files", Level.OK, f"{most} allowed")


def _given_key(settings: Settings) -> Iterator[Finding]:
    """Whether the key of the settings is one: that needs no database to try it on."""
    if settings.secret_key is None:
        return
    try:
        given_key(settings.secret_key.reveal())
    except DispatcherError as error:
        yield Finding("key", Level.FAIL, str(error), "without it the service does not start")
    else:
        yield Finding("key", Level.OK, "from the setting secret_key")


# --- The database ------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Finding]:
    path = settings.database
    folder = path.absolute().parent
    if not folder.is_dir():
        yield Finding("folder", Level.FAIL, f"{folder} is not there", f"make it: mkdir -p {folder}")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "folder",
            Level.FAIL,
            f"{folder} can't be written to by this user",
            "change its owner or mode: the database's log and lock are made in it",
        )
    else:
        yield Finding("folder", Level.OK, str(folder))
    yield _disk(folder)
    if not path.exists():
        yield Finding(
            "database",
            Level.WARN,
            f"{path} is not there yet",
            "`dispatcher serve` makes it at its first start; if it should be there, check store",
        )
        return
    yield from _open_to_others(path)
    schema = _schema(path)
    yield schema
    if schema.level is Level.OK:
        if settings.secret_key is None:
            yield _key_file(settings)
        yield from asyncio.run(_open(settings))


def _postgres(settings: Settings) -> Iterator[Finding]:
    try:
        found = list(examine_postgres(settings))
    except DispatcherError as error:
        yield Finding("database", Level.FAIL, str(error))
        return
    yield from found
    if all(each.level is not Level.FAIL for each in found) and found[0].level is Level.OK:
        yield from asyncio.run(_open(settings))


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free / MIB:,.0f} MiB free"
    if free < DISK_FAIL_BYTES:
        return Finding("disk", Level.FAIL, detail, "make room: a full disk stops all work")
    if free < DISK_WARN_BYTES:
        return Finding("disk", Level.WARN, detail, "make room before it is full")
    return Finding("disk", Level.OK, detail)


def _open_to_others(path: Path) -> Iterator[Finding]:
    """The database, and the log beside it, that somebody other than its owner may read."""
    for each in (path, path.with_name(f"{path.name}-wal")):
        try:
            mode = stat.S_IMODE(each.stat().st_mode)
        except OSError:  # not there, or `_schema` says what is wrong
            continue
        if mode & OTHERS:
            yield Finding(
                "file mode",
                Level.WARN,
                f"{each} can be read by others (mode {mode:o}), with inputs and results in clear",
                f"close it to them: chmod 600 {each}",
            )


def _schema(path: Path) -> Finding:
    newest = migrations()[-1].number
    try:
        connection = connect(path, Use.READ)
        try:
            (ours,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding(
            "database",
            Level.FAIL,
            f"{path} can't be read: {error}",
            "if it is damaged, restore a backup; if this user may not read it, chown it",
        )
    if ours != APPLICATION_ID:
        return Finding(
            "database", Level.FAIL, f"{path} is no database of the dispatcher", "check store"
        )
    if version > newest:
        return Finding(
            "database",
            Level.FAIL,
            f"{path} has schema {version}; this version knows up to {newest}",
            "run the newer version that wrote it",
        )
    if version < newest:
        return Finding(
            "database",
            Level.WARN,
            f"{path} has schema {version}; this version has {newest}",
            "run `dispatcher migrate`, or start `dispatcher serve`",
        )
    return Finding("database", Level.OK, f"{path}, schema {version}")


def _key_file(settings: Settings) -> Finding:
    path = key_file(settings.database)
    try:
        found = path.stat()
    except OSError as error:
        return Finding(
            "key",
            Level.FAIL,
            f"the key file {path}: {error.strerror}",
            "put it back from where the database was copied, or set DISPATCHER_SECRET_KEY",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & OTHERS and os.geteuid() not in {0, found.st_uid}:
        return Finding(
            "key",
            Level.FAIL,
            f"{path} can be read by others (mode {mode:o}), and is not this user's",
            "chown it, and chmod 600: the service does not start with it",
        )
    if mode & OTHERS:
        return Finding(
            "key",
            Level.WARN,
            f"{path} can be read by others (mode {mode:o})",
            f"close it to them: chmod 600 {path} (the service does when it starts)",
        )
    return Finding("key", Level.OK, str(path))


async def _open(settings: Settings) -> list[Finding]:
    """What can be told only of an open store: whether it works, and whether the key is its own."""
    try:
        async with open_store(settings, patient=True) as store:
            await store.check()
            works = Finding("store", Level.OK, "can be read and written")
            return [works, await _key(settings, store)]
    except DispatcherError as error:
        return [Finding("store", Level.FAIL, str(error))]


async def _key(settings: Settings, store: Store) -> Finding:
    if await store.key_check(None) is None:
        return Finding("secrets", Level.OK, "none are kept yet")
    try:
        await open_vault_of(settings, store, SystemRandom(), only_look=True)
    except DispatcherError as error:
        return Finding("secrets", Level.FAIL, str(error))
    return Finding("secrets", Level.OK, "can be read with this key")
