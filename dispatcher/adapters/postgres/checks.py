"""What proves that a store works, and that its encryption key belongs to it."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.adapters.stored import CHECKED, ENCRYPTION_KEY

_META_FIND = statement("meta_find")
_META_PUT = statement("meta_put")
_META_KEEP = statement("meta_keep")


async def keep_key_check(session: Session, entries: Sequence[Entry[bytes]]) -> list[bytes]:
    """Store the proof of the encryption key unless one is there; gives the one that is."""
    await session.began()
    await session.execute(_META_KEEP, ENCRYPTION_KEY, entries[0].item)
    kept = await session.one(_META_FIND, ENCRYPTION_KEY)
    return [b"" if kept is None else kept[0] for _ in entries]


async def find_key_check(session: Session) -> bytes | None:
    """The stored proof of the encryption key."""
    row = await session.one(_META_FIND, ENCRYPTION_KEY)
    return None if row is None else row[0]


async def write_check(session: Session, entries: Sequence[Entry[None]]) -> list[None]:
    """Write a little, to see whether writing works."""
    await session.began()
    await session.execute(_META_PUT, CHECKED, session.now.to_bytes(8, signed=True))
    return [None for _ in entries]


async def read_check(session: Session) -> None:
    """Read a little, to see whether reading works."""
    await session.one(_META_FIND, CHECKED)
