"""Which store the settings name, and what goes with it: its vault, and the lock of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import Final

from dispatcher.adapters.secrets import open_vault
from dispatcher.adapters.sqlite import ServeLock, SqliteStore
from dispatcher.adapters.system import SystemClock, Uuid7Ids
from dispatcher.core.errors import SettingsError
from dispatcher.ports.moving import MoveTarget
from dispatcher.ports.observer import CommitTold, tell_nobody
from dispatcher.ports.store import Store
from dispatcher.ports.system import Random
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
    on_commit: CommitTold = tell_nobody,
) -> AsyncIterator[Store]:
    """The store that the settings name, open; raises `StoreError`.

    `patient`: wait for a busy service beside us to let go of the database, as commands can afford.
    `migrate`: bring a schema with data up to date, which on SQLite is always done. `on_commit` is
    told of each commit, by whatever makes it.
    """
    links_base = settings.links_base() if links_base is None else links_base
    if settings.on_sqlite:
        store: Store = SqliteStore(
            settings.database,
            clock=SystemClock(),
            ids=Uuid7Ids(),
            links_base=links_base,
            dead_kept_seconds=settings.dead_kept_seconds,
            erased_kept_seconds=settings.erased_kept_seconds,
            audit_kept_seconds=settings.audit_kept_seconds,
            lock_seconds=PATIENCE_SECONDS if patient else LOCK_SECONDS,
            on_commit=on_commit,
        )
    else:
        store = _on_postgres(settings, links_base, migrate=migrate, on_commit=on_commit)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _on_postgres(
    settings: Settings, links_base: str, *, migrate: bool, on_commit: CommitTold
) -> Store:
    with _driver():
        from dispatcher.adapters.postgres import (  # noqa: PLC0415  # its driver is an extra
            PostgresStore,
        )
    return PostgresStore(
        settings.store,
        ids=Uuid7Ids(),
        links_base=links_base,
        dead_kept_seconds=settings.dead_kept_seconds,
        erased_kept_seconds=settings.erased_kept_seconds,
        audit_kept_seconds=settings.audit_kept_seconds,
        migrate=migrate,
        connections=settings.postgres_connections,
        on_commit=on_commit,
    )


async def open_vault_of(settings: Settings, store: Store, random: Random) -> Vault:
    """The vault that goes with the store. Raises `SecretsUnreadable`, `StoreError`."""
    key = None if settings.secret_key is None else settings.secret_key.reveal()
    if key is None and settings.dev and not settings.on_sqlite:
        key = DEV_KEY
    database = settings.database if settings.on_sqlite else settings.store_shown
    return await open_vault(store, secret_key=key, database=database, random=random)


def moving_target(settings: Settings) -> AbstractAsyncContextManager[MoveTarget]:
    """The PostgreSQL database that the settings name, to be moved into. Raises `SettingsError`."""
    with _driver():
        from dispatcher.adapters.postgres.arriving import (  # noqa: PLC0415  # its driver is an extra
            ArrivingDatabase,
        )
    return ArrivingDatabase(settings.store)


@contextmanager
def _driver() -> Iterator[None]:
    """Say what to install where PostgreSQL's driver is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"store: PostgreSQL needs {error.name}: pip install 'callback-dispatcher[postgres]'"
        ) from None


def serve_lock(settings: Settings) -> AbstractContextManager[object]:
    """What keeps two services from serving one SQLite file; on PostgreSQL many may serve."""
    return ServeLock(settings.database) if settings.on_sqlite else nullcontext()
