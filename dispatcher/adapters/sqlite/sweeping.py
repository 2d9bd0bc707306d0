"""What the sweep finds: jobs and deliveries that are lost, late or too old."""

from __future__ import annotations

import sqlite3

from dispatcher.adapters.sqlite.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    JOB_LEASE,
    JOB_WIDTH,
    Row,
    delivery_in,
    delivery_of,
    endpoint_of,
    job_of,
)
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import Delivery, Instant, Job
from dispatcher.ports.records import Overdue

_LOST_JOBS = statement("sweep_lost_jobs")
_LATE_JOBS = statement("sweep_late_jobs")
_LOST_DELIVERIES = statement("sweep_lost_deliveries")
_OLD_DELIVERIES = statement("sweep_old_deliveries")


def sweep(read: sqlite3.Connection, now: Instant, limit: int) -> Overdue:
    """Find what is overdue; see the port."""
    due = {"now": now, "limit": limit}
    old = {"before": now - DELIVERY_LIFE_MS, "limit": limit}
    return Overdue(
        lost_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in read.execute(_LOST_JOBS, due)),
        late_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in read.execute(_LATE_JOBS, due)),
        lost_deliveries=tuple(_lost(row) for row in read.execute(_LOST_DELIVERIES, due)),
        old_deliveries=tuple(delivery_in(row) for row in read.execute(_OLD_DELIVERIES, old)),
    )


def _lost(row: Row) -> tuple[Delivery, str, Job | None, Endpoint | None]:
    event_id, event_type = row[DELIVERY_WIDTH : DELIVERY_WIDTH + 2]
    columns = row[DELIVERY_WIDTH + 2 :]
    job = None if columns[0] is None else job_of(columns)
    job_id = None if job is None else job.id
    delivery = delivery_of(row, event_id=event_id, event_type=event_type, job_id=job_id)
    endpoint = endpoint_of(columns[JOB_WIDTH:])
    return delivery, row[DELIVERY_LEASE], job, endpoint
