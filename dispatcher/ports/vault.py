"""The vault seals what must never be read from the database: secrets and callback headers."""

from __future__ import annotations

from typing import Protocol


class Vault(Protocol):
    """Seals and opens bytes, bound to whose they are."""

    def seal(self, plain: bytes, owner: str) -> bytes:
        """Encrypt, so that only `open` with the same `owner` and key gives it back."""
        ...

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Decrypt; raises `SecretsUnreadable` if the key or the owner is another."""
        ...

    def mask(self, plain: bytes, owner: str) -> bytes:
        """Encrypt in such a way that the same bytes of the same owner always come out the same.

        For what is no secret by itself but says too much, such as numbers that count everyone's.
        """
        ...

    def unmask(self, masked: bytes, owner: str) -> bytes | None:
        """What was masked for `owner` with this key; None if it was not."""
        ...
