"""Signing what goes to an endpoint that does jobs, as callbacks are signed."""

from __future__ import annotations

from dispatcher.core.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from dispatcher.engine.secrets import Secrets, SecretStore
from dispatcher.ports.system import Clock
from dispatcher.ports.vault import Vault


class Signer:
    """Signs with the secrets of a caller and the service's own keys: those in force now."""

    def __init__(
        self, store: SecretStore, vault: Vault, clock: Clock, *, keep_seconds: float
    ) -> None:
        self._secrets = Secrets(store, vault, clock, keep_seconds=keep_seconds)
        self._clock = clock

    def forget(self, owner: str | None = None) -> None:
        """Look up anew what a caller signs with; None: everyone, the service too."""
        self._secrets.forget(owner)

    async def headers(self, caller_id: str, id_: str, body: bytes) -> list[tuple[str, str]]:
        """The headers of Standard Webhooks for a message: its id, the time, the signatures.

        Raises `StoreUnavailable`, or `SecretsUnreadable` if they were sealed with another key.
        """
        secrets = await self._secrets.of(caller_id)
        keys = await self._secrets.service_keys()
        timestamp = self._clock.now() // 1000
        return [
            (ID_HEADER, id_),
            (TIMESTAMP_HEADER, str(timestamp)),
            (SIGNATURE_HEADER, sign(secrets, id_, timestamp, body, keys=keys)),
        ]
