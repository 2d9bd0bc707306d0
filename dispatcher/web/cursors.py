"""The feed's cursors as callers see them: nobody can read off them how much others do."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from dispatcher.ports.vault import Vault

PADDED: Final = 32
"""Cursors of fewer characters are all as long as this: a length tells how many digits there are."""


class FeedCursors:
    """Masks the store's cursors, each for the feed that it belongs to.

    A store's cursor may count the events of all callers. Masked it says nothing, is good for that
    feed alone, and is the same wherever it is made with the same key.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def pack(self, cursor: str, scope: str | None) -> str:
        """What a caller is given. `scope`: whose feed it is; None: everyone's."""
        masked = self._vault.mask(cursor.ljust(PADDED).encode(), _owner(scope))
        return urlsafe_b64encode(masked).rstrip(b"=").decode("ascii")

    def unpack(self, text: str, scope: str | None) -> str | None:
        """The store's cursor; None: it is none of this feed (or its key is another now)."""
        try:
            masked = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (ValueError, binascii.Error):
            return None
        plain = self._vault.unmask(masked, _owner(scope))
        return None if plain is None else plain.decode().rstrip(" ")


def _owner(scope: str | None) -> str:
    return f"feed {scope or '*'}"
