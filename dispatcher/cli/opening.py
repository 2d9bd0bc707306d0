"""The store and the vault of the settings, for commands that need no service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from dispatcher.adapters.system import SystemRandom
from dispatcher.core.errors import DispatcherError
from dispatcher.core.facts import ActionAudited, Fact
from dispatcher.engine.audit import hint_of
from dispatcher.ports.hints import Hint
from dispatcher.ports.store import Store
from dispatcher.ports.vault import Vault
from dispatcher.settings import Settings
from dispatcher.stores import is_made, open_store, open_vault_of, tell_once


class NoDatabase(DispatcherError):
    """There is none where the settings say: perhaps the command was run in the wrong folder."""


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
async def opened(
    settings: Settings, *, make: bool = False, migrate: bool = False
) -> AsyncIterator[Opened]:
    """Open the store, safe beside a running service; on SQLite it is migrated.

    `make`: make it, with its key, if it is not there. `migrate`: on PostgreSQL too. At the end
    running services are told of what was done, so that they read it at once and not a few seconds
    later.

    Raises:
        NoDatabase: it is not there, and is not to be made; nothing was.
        StoreError: it can't be used.
        SecretsUnreadable: the key is missing or not the store's.
    """
    if not make and not await is_made(settings):
        raise NoDatabase(
            f"there is no database at {_place(settings)}: if a service has one, run this in its "
            "folder, or with its --config or --store; `dispatcher migrate` makes a new one"
        )
    async with open_store(settings, patient=True, migrate=migrate) as store:
        vault = await open_vault_of(settings, store, SystemRandom())
        telling = Telling()
        try:
            yield Opened(store, vault, telling)
        finally:
            await tell_once(settings, telling.hints)


def _place(settings: Settings) -> str:
    return str(settings.database.absolute()) if settings.on_sqlite else settings.store_shown


def tell_made_new(settings: Settings) -> None:
    """Say on standard error that the database was made just now: perhaps in the wrong folder."""
    print(
        f"dispatcher: warning: {settings.database.absolute()} was not there and was made new. A "
        "service that runs on another database does not know this API key: if there is one, run "
        "this in its folder, or with its --config or --store.",
        file=sys.stderr,
    )
