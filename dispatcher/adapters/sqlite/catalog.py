"""The types of jobs that handlers declare, for whoever describes them."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from dispatcher.adapters.sqlite.session import Session
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.model import JobType

_TYPE_PUT = statement("job_type_put")
_TYPES = statement("job_types")

_job_type: Final = msgspec.json.Decoder(JobType).decode


def put_type(session: Session, declared: JobType) -> None:
    """Declare a type."""
    row = {"name": declared.name, "declared": msgspec.json.encode(declared).decode()}
    session.execute(_TYPE_PUT, row)


def list_types(read: sqlite3.Connection) -> list[JobType]:
    """Every type, by name."""
    return [_job_type(declared) for (declared,) in read.execute(_TYPES)]
