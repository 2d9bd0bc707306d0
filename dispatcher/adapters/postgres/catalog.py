"""The types of jobs that handlers declare, for whoever describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from dispatcher.adapters.postgres.batching import Entry
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.model import JobType

_TYPES_PUT = statement("job_types_put")
_TYPES = statement("job_types")

_job_type: Final = msgspec.json.Decoder(JobType).decode


async def put_types(session: Session, entries: Sequence[Entry[JobType]]) -> list[None]:
    """Declare types; of one name the last counts."""
    await session.began()
    declared = {entry.item.name: entry.item for entry in entries}
    texts = [msgspec.json.encode(declared[name]).decode() for name in sorted(declared)]
    await session.execute(_TYPES_PUT, sorted(declared), texts)
    return [None for _ in entries]


async def list_types(session: Session) -> list[JobType]:
    """Every type, by name."""
    return [_job_type(row[0]) for row in await session.fetch(_TYPES)]
