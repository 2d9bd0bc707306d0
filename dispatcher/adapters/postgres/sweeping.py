"""What the sweep finds: jobs and deliveries that are lost, late or too old."""

from __future__ import annotations

from collections.abc import Mapping

from dispatcher.adapters.postgres.registered import by_id
from dispatcher.adapters.postgres.rows import (
    DELIVERY_LEASE,
    DELIVERY_WIDTH,
    JOB_LEASE,
    Row,
    delivery_in,
    delivery_of,
    job_of,
)
from dispatcher.adapters.postgres.session import Session
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.endpoints import Endpoint
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS
from dispatcher.core.model import Delivery, Job
from dispatcher.ports.records import Overdue

_LOST_JOBS = statement("sweep_lost_jobs")
_LATE_JOBS = statement("sweep_late_jobs")
_LOST_DELIVERIES = statement("sweep_lost_deliveries")
_OLD_DELIVERIES = statement("sweep_old_deliveries")


async def sweep(session: Session, limit: int) -> Overdue:
    """Find what is overdue; see the port."""
    now = await session.look_at_clock()
    lost_jobs = await session.fetch(_LOST_JOBS, now, limit)
    late_jobs = await session.fetch(_LATE_JOBS, now, limit)
    lost = await session.fetch(_LOST_DELIVERIES, now, limit)
    endpoints = await by_id(session, [row["endpoint_id"] for row in lost])
    old = await session.fetch(_OLD_DELIVERIES, now - DELIVERY_LIFE_MS, limit)
    return Overdue(
        lost_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in lost_jobs),
        late_jobs=tuple((job_of(row), row[JOB_LEASE]) for row in late_jobs),
        lost_deliveries=tuple(_lost(row, endpoints) for row in lost),
        old_deliveries=tuple(delivery_in(row) for row in old),
    )


def _lost(
    row: Row, endpoints: Mapping[str, Endpoint]
) -> tuple[Delivery, str, Job | None, Endpoint | None]:
    event_id, event_type = row[DELIVERY_WIDTH : DELIVERY_WIDTH + 2]
    columns = row[DELIVERY_WIDTH + 2 :]
    job = None if columns[0] is None else job_of(columns)
    job_id = None if job is None else job.id
    delivery = delivery_of(row, event_id=event_id, event_type=event_type, job_id=job_id)
    endpoint = None if delivery.endpoint_id is None else endpoints.get(delivery.endpoint_id)
    return delivery, row[DELIVERY_LEASE], job, endpoint
