"""Signing secrets, opened and kept for a moment, so that a callback costs no query for them."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from dispatcher.ports.store import CallerStore
from dispatcher.ports.system import Clock
from dispatcher.ports.vault import Vault


class _Kept(Struct, frozen=True):
    secrets: tuple[bytes, ...]
    until: float


class Secrets:
    """The secrets in force of each caller. A rotation is noticed within `keep_seconds`."""

    def __init__(
        self,
        store: CallerStore,
        vault: Vault,
        clock: Clock,
        *,
        keep_seconds: float,
        keep_callers: int = 10_000,
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._keep_callers = keep_callers
        self._kept: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Future[tuple[bytes, ...]]] = {}

    async def of(self, caller_id: str) -> tuple[bytes, ...]:
        """The caller's secrets, newest first.

        Raises `StoreUnavailable`, or `SecretsUnreadable` if they were sealed with another key.
        """
        kept = self._kept.get(caller_id)
        if kept is not None and kept.until > self._clock.monotonic():
            return kept.secrets
        asking = self._asking.get(caller_id)
        if asking is None:
            asking = asyncio.ensure_future(self._load(caller_id))
            self._asking[caller_id] = asking
            asking.add_done_callback(lambda _: self._asking.pop(caller_id, None))
        return await asyncio.shield(asking)

    async def _load(self, caller_id: str) -> tuple[bytes, ...]:
        sealed = await self._store.sealed_secrets(caller_id)
        secrets = tuple(self._vault.open(each, caller_id) for each in sealed)
        if len(self._kept) >= self._keep_callers:
            del self._kept[next(iter(self._kept))]
        self._kept[caller_id] = _Kept(secrets, self._clock.monotonic() + self._keep_seconds)
        return secrets
