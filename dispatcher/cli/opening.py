"""The store and the vault of the settings, for commands that need no service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from dispatcher.adapters.system import SystemRandom
from dispatcher.core.facts import ActionAudited, Fact
from dispatcher.engine.audit import hint_of
from dispatcher.ports.hints import Hint
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault
from dispatcher.settings import Settings
from dispatcher.stores import open_store, open_vault_of, tell_once


class Telling:
    """Implements `ports.observer.Observer`: keeps what running services are told at the end."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        hint = hint_of(fact.entry) if isinstance(fact, ActionAudited) else None
        if hint is not None:
            self.hints.append(hint)


class Opened(Struct, frozen=True):
    """A store that is open, the vault that goes with it, and who is told of what was done."""

    store: Store
    vault: Vault
    telling: Telling


@asynccontextmanager
async def opened(settings: Settings, *, migrate: bool = False) -> AsyncIterator[Opened]:
    """Open the store, safe beside a running service; made if need be, and on SQLite migrated.

    `migrate`: on PostgreSQL too. At the end running services are told of what was done, so that
    they read it at once and not a few seconds later.

    Raises:
        StoreError: it can't be used.
        SecretsUnreadable: the key is missing or not the store's.
    """
    async with open_store(settings, patient=True, migrate=migrate) as store:
        vault = await open_vault_of(settings, store, SystemRandom())
        telling = Telling()
        try:
            yield Opened(store, vault, telling)
        finally:
            await tell_once(settings, telling.hints)


def tell_made_new(settings: Settings) -> None:
    """Say on standard error that the database was made just now: perhaps in the wrong folder."""
    print(
        f"dispatcher: warning: {settings.database.absolute()} was not there and was made new. A "
        "service that runs on another database does not know this API key: if there is one, run "
        "this in its folder, or with its --config or --store.",
        file=sys.stderr,
    )
