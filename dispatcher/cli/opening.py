"""The store and the vault of the settings, for commands that need no service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from dispatcher.adapters.system import SystemRandom
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault
from dispatcher.settings import Settings
from dispatcher.stores import open_store, open_vault_of


class Opened(Struct, frozen=True):
    """A store that is open, and the vault that goes with it."""

    store: Store
    vault: Vault


@asynccontextmanager
async def opened(settings: Settings, *, migrate: bool = False) -> AsyncIterator[Opened]:
    """Open the store, safe beside a running service; made if need be, and on SQLite migrated.

    `migrate`: on PostgreSQL too.

    Raises:
        StoreError: it can't be used.
        SecretsUnreadable: the key is missing or not the store's.
    """
    async with open_store(settings, patient=True, migrate=migrate) as store:
        vault = await open_vault_of(settings, store, SystemRandom())
        yield Opened(store, vault)


def tell_made_new(settings: Settings) -> None:
    """Say on standard error that the database was made just now: perhaps in the wrong folder."""
    print(
        f"dispatcher: warning: {settings.database.absolute()} was not there and was made new. A "
        "service that runs on another database does not know this API key: if there is one, run "
        "this in its folder, or with its --config or --store.",
        file=sys.stderr,
    )
