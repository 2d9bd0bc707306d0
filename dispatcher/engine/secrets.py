"""Signing secrets, opened and kept for a moment, so that a callback costs no query for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from dispatcher.core.ed25519 import PrivateKey
from dispatcher.engine.asking import answer_of, ask
from dispatcher.engine.service_keys import open_service_key
from dispatcher.ports.callers import CallerStore, ServiceKeyStore
from dispatcher.ports.endpoints import EndpointStore
from dispatcher.ports.system import Clock
from dispatcher.ports.vault import Vault

Value = TypeVar("Value")

_THE_SERVICE: Final = ""

SigningKeys: TypeAlias = tuple[tuple[bytes, ...], tuple[PrivateKey, ...]]
"""The secrets of an owner in force, and the service's own keys, both newest first."""


class SecretStore(CallerStore, ServiceKeyStore, EndpointStore, Protocol):
    """Of the store, what signing needs."""


class _Kept(Struct, Generic[Value], frozen=True):
    value: Value
    until: float


class _ForAMoment(Generic[Value]):
    """Values by key, looked up once in a while; who asks meanwhile waits for the same look-up."""

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[Value]],
        clock: Clock,
        *,
        keep_seconds: float,
        most: int,
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._most = most
        self._kept: dict[str, _Kept[Value]] = {}
        self._asking: dict[str, asyncio.Task[Value]] = {}

    def forget(self, key: str | None) -> None:
        if key is None:
            self._kept.clear()
            self._asking.clear()
        else:
            self._kept.pop(key, None)
            self._asking.pop(key, None)  # it may have read what was before

    def kept(self, key: str) -> Value | None:
        """What is still believed; None: it has to be looked up."""
        kept = self._kept.get(key)
        if kept is not None and kept.until > self._clock.monotonic():
            return kept.value
        return None

    async def of(self, key: str) -> Value:
        kept = self.kept(key)
        if kept is not None:
            return kept
        asking = self._asking.get(key)
        if asking is None:
            asking = ask(self._load(key))
            self._asking[key] = asking
            asking.add_done_callback(partial(self._asked, key))
        return await answer_of(asking)

    def _asked(self, key: str, asked: asyncio.Task[Value]) -> None:
        if self._asking.get(key) is asked:
            del self._asking[key]

    async def _load(self, key: str) -> Value:
        value = await self._look_up(key)
        if self._asking.get(key) is not asyncio.current_task():  # forgotten meanwhile
            return value
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(value, self._clock.monotonic() + self._keep_seconds)
        return value


class Secrets:
    """What callbacks are signed with. A rotation is noticed within `keep_seconds`."""

    def __init__(
        self,
        store: SecretStore,
        vault: Vault,
        clock: Clock,
        *,
        keep_seconds: float,
        keep_callers: int = 10_000,
    ) -> None:
        self._store = store
        self._vault = vault
        self._of_callers = _ForAMoment(
            self._open_secrets, clock, keep_seconds=keep_seconds, most=keep_callers
        )
        self._of_endpoints = _ForAMoment(
            self._open_secrets_of_endpoint, clock, keep_seconds=keep_seconds, most=keep_callers
        )
        self._of_the_service = _ForAMoment(
            self._open_service_keys, clock, keep_seconds=keep_seconds, most=1
        )

    def forget(self, owner: str | None = None) -> None:
        """Look up anew what a caller or an endpoint signs with; None: everyone, the service too."""
        self._of_callers.forget(owner)
        self._of_endpoints.forget(owner)
        if owner is None:
            self._of_the_service.forget(None)

    def kept(self, owner: str, *, endpoint: bool) -> SigningKeys | None:
        """What a caller or an endpoint, and the service, sign with, if no look-up is needed."""
        secrets = (self._of_endpoints if endpoint else self._of_callers).kept(owner)
        keys = self._of_the_service.kept(_THE_SERVICE)
        return None if secrets is None or keys is None else (secrets, keys)

    async def look_up(self, owner: str, *, endpoint: bool) -> SigningKeys:
        """The same, looked up where it is not kept; raises as `of` does."""
        secrets = await (self.of_endpoint(owner) if endpoint else self.of(owner))
        return secrets, await self.service_keys()

    async def of(self, caller_id: str) -> tuple[bytes, ...]:
        """The caller's secrets in force, newest first.

        Raises `StoreUnavailable`, or `SecretsUnreadable` if they were sealed with another key.
        """
        return await self._of_callers.of(caller_id)

    async def of_endpoint(self, endpoint_id: str) -> tuple[bytes, ...]:
        """The secrets of a registered endpoint in force, newest first; raises as `of` does."""
        return await self._of_endpoints.of(endpoint_id)

    async def service_keys(self) -> tuple[PrivateKey, ...]:
        """The service's own keys in force, newest first; raises as `of` does."""
        return await self._of_the_service.of(_THE_SERVICE)

    async def _open_secrets(self, caller_id: str) -> tuple[bytes, ...]:
        sealed = await self._store.sealed_secrets(caller_id)
        return tuple(self._vault.open(each, caller_id) for each in sealed)

    async def _open_secrets_of_endpoint(self, endpoint_id: str) -> tuple[bytes, ...]:
        sealed = await self._store.endpoint_secrets(endpoint_id)
        return tuple(self._vault.open(each, endpoint_id) for each in sealed)

    async def _open_service_keys(self, _: str) -> tuple[PrivateKey, ...]:
        return tuple(
            open_service_key(key, sealed, self._vault)
            for key, sealed in await self._store.service_keys()
        )
