"""Which store the settings name, and what goes with it: its vault, and the lock of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from importlib import import_module
from types import ModuleType
from typing import Final

from dispatcher.adapters.secrets import open_vault
from dispatcher.adapters.sqlite import ServeLock, SqliteStore
from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.core.errors import SettingsError
from dispatcher.ports.hints import Hint, Hints
from dispatcher.ports.moving import MoveTarget
from dispatcher.ports.observer import CommitTold, Observer, tell_nobody
from dispatcher.ports.store import Store
from dispatcher.ports.system import Clock, Ids, Random
from dispatcher.ports.vault import Vault
from dispatcher.settings import Settings

LOCK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 10.0
DEV_KEY: Final = "dsk_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWFsaW5nLTE"
"""Seals what `--dev` keeps on PostgreSQL: fixed, so that nothing needs to be set to try it."""


@asynccontextmanager
async def open_store(
    settings: Settings,
    links_base: str | None = None,
    *,
    patient: bool = False,
    migrate: bool = False,
    clock: Clock | None = None,
    ids: Ids | None = None,
    on_commit: CommitTold = tell_nobody,
) -> AsyncIterator[Store]:
    """The store that the settings name, open; raises `StoreError`.

    `patient`: wait for a busy service beside us to let go of the database, as commands can afford.
    `migrate`: bring a schema with data up to date, which on SQLite is always done. `clock` and
    `ids` are those of a process that has its own already: two clocks, neither of which runs
    backwards, would differ once the machine's was set back. `on_commit` is told of each commit, by
    whatever makes it.
    """
    ids = Uuid7Ids() if ids is None else ids
    links_base = settings.links_base() if links_base is None else links_base
    if settings.on_sqlite:
        store: Store = SqliteStore(
            settings.database,
            clock=SystemClock() if clock is None else clock,
            ids=ids,
            links_base=links_base,
            dead_kept_seconds=settings.dead_kept_seconds,
            erased_kept_seconds=settings.erased_kept_seconds,
            audit_kept_seconds=settings.audit_kept_seconds,
            lock_seconds=PATIENCE_SECONDS if patient else LOCK_SECONDS,
            on_commit=on_commit,
        )
    else:
        store = _on_postgres(settings, ids, links_base, migrate=migrate, on_commit=on_commit)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def is_made(settings: Settings) -> bool:
    """Whether the store that the settings name is there already; nothing is made.

    Raises:
        StoreError: its server can't be asked.
    """
    if not settings.on_sqlite:
        return (await _driver("looking").look(settings.store)).schema is not None
    try:
        return settings.database.exists()
    except OSError:  # a folder that this user may not look into; opening the file says so
        return True


def _on_postgres(
    settings: Settings, ids: Ids, links_base: str, *, migrate: bool, on_commit: CommitTold
) -> Store:
    made: Store = _driver("store").PostgresStore(
        settings.store,
        ids=ids,
        links_base=links_base,
        dead_kept_seconds=settings.dead_kept_seconds,
        erased_kept_seconds=settings.erased_kept_seconds,
        audit_kept_seconds=settings.audit_kept_seconds,
        migrate=migrate,
        connections=settings.postgres_connections - 1,  # the last is for hints
        on_commit=on_commit,
    )
    return made


def hints_of(settings: Settings, observer: Observer) -> Hints | None:
    """How processes tell each other what happened; None where there is one, or a pooler between."""
    if settings.on_sqlite:
        return None
    connection, hints = _driver("connection"), _driver("hints")
    if connection.Address.parse(settings.store).pooled:
        return None
    name = SystemRandom().token(8).hex()
    made: Hints = hints.PostgresHints(settings.store, name=name, observer=observer)
    return made


async def tell_once(settings: Settings, hints: Sequence[Hint]) -> None:
    """Tell all processes on the store, where `hints_of` would, from one that won't stay."""
    if not hints or settings.on_sqlite:
        return
    connection, telling = _driver("connection"), _driver("hints")
    if not connection.Address.parse(settings.store).pooled:
        await telling.tell_once(settings.store, SystemRandom().token(8).hex(), hints)


def _driver(module: str) -> ModuleType:
    """A module of the PostgreSQL adapter, whose driver is an extra."""
    try:
        return import_module(f"dispatcher.adapters.postgres.{module}")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store: PostgreSQL needs {error.name}: pip install 'callback-dispatcher[postgres]'"
        ) from None


async def open_vault_of(
    settings: Settings, store: Store, random: Random, *, only_look: bool = False
) -> Vault:
    """The vault that goes with the store. Raises `SecretsUnreadable`, `StoreError`.

    `only_look` is as of `open_vault`.
    """
    key = None if settings.secret_key is None else settings.secret_key.reveal()
    if key is None and settings.dev and not settings.on_sqlite:
        key = DEV_KEY
    database = settings.database if settings.on_sqlite else settings.store_shown
    return await open_vault(
        store, secret_key=key, database=database, random=random, only_look=only_look
    )


def moving_target(settings: Settings) -> AbstractAsyncContextManager[MoveTarget]:
    """The PostgreSQL database that the settings name, to be moved into. Raises `SettingsError`."""
    made: AbstractAsyncContextManager[MoveTarget]
    made = _driver("arriving").ArrivingDatabase(settings.store)
    return made


def serve_lock(settings: Settings) -> AbstractContextManager[object]:
    """What keeps two services from serving one SQLite file; on PostgreSQL many may serve."""
    return ServeLock(settings.database) if settings.on_sqlite else nullcontext()
