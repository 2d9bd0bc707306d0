"""Jobs, deliveries and types as callers see them, and the ETag of a job."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Raw

from dispatcher.core.estimate import SHORTEST_POLL_SECONDS, poll_seconds
from dispatcher.core.lifecycle import shown_status
from dispatcher.core.model import (
    Attempt,
    Instant,
    Job,
    JobType,
)
from dispatcher.core.payload import attempt_json, delivery_json, job_json, rfc3339
from dispatcher.ports.views import DeliveryRecord, DeliverySummary, JobRecord

POLL_SECONDS: Final = SHORTEST_POLL_SECONDS
"""When to ask again if nothing better is known."""


def path_of(public_url: str) -> str:
    """What `Location` begins with: the path under which callers reach the service, often empty."""
    return urlsplit(public_url).path


def etag(record: JobRecord, now: Instant) -> str:
    """A strong entity tag (RFC 9110, 8.8.3) of what is shown of status, progress, result, delivery.

    The job's version grows with each change of its row, so that it stands for what is in it; the
    shown status changes by time alone, the delivery without its job.
    """
    job, delivery = record.job, record.delivery
    text = f"{job.id} {job.version} {shown_status(job, now)}"
    if delivery is not None:
        text += (
            f" {delivery.state} {delivery.attempt_count}"
            f" {delivery.last_status_code} {delivery.next_attempt_at}"
        )
    return f'"{blake2b(text.encode(), digest_size=12).hexdigest()}"'


def retry_after(job: Job, now: Instant, estimated_at: Instant | None = None) -> str | None:
    """The seconds after which to ask again (RFC 9110, 10.2.3); None: the job is done."""
    seconds = poll_seconds(job, estimated_at, now)
    return None if seconds is None else str(seconds)


def job_shown(
    record: JobRecord, links_base: str, now: Instant, estimated_at: Instant | None = None
) -> dict[str, Any]:
    """A job with its delivery, and with its input and result if the record has them."""
    job = record.job
    shown = job_json(job, links_base, now, record.result)
    shown["expiresAt"] = rfc3339(job.expires_at)
    shown["estimatedFinishAt"] = rfc3339(estimated_at)
    shown["delivery"] = _summary_shown(record.delivery)
    if record.input is not None:
        shown["input"] = Raw(record.input)
    return shown


def job_listed(
    record: JobRecord, links_base: str, now: Instant, estimated_at: Instant | None = None
) -> dict[str, Any]:
    """A job in a list: without input and result, which stand behind its links."""
    return job_shown(JobRecord(record.job, record.delivery), links_base, now, estimated_at)


def _summary_shown(delivery: DeliverySummary | None) -> dict[str, Any] | None:
    if delivery is None:
        return None
    return {
        "status": delivery.state,
        "attemptCount": delivery.attempt_count,
        "lastStatusCode": delivery.last_status_code,
        "nextAttemptAt": rfc3339(delivery.next_attempt_at),
    }


def delivery_shown(record: DeliveryRecord) -> dict[str, Any]:
    """A delivery with its attempts."""
    attempts = [_attempt_shown(attempt) for attempt in record.attempts]
    return delivery_listed(record) | {"attempts": attempts}


def delivery_listed(record: DeliveryRecord) -> dict[str, Any]:
    """A delivery in a list of those of many jobs: without its attempts."""
    return delivery_json(record.delivery)


def _attempt_shown(attempt: Attempt) -> dict[str, Any]:
    body = attempt.body
    answer = None if body is None else body.decode("utf-8", "replace")
    return attempt_json(attempt) | {"responseBody": answer}


def type_shown(kind: JobType) -> dict[str, Any]:
    """A type as it was declared, with its schemas."""
    return {
        "name": kind.name,
        "description": kind.description,
        "runner": kind.runner,
        "queue": kind.queue,
        "timeoutSeconds": kind.timeout_seconds,
        "maxTimeoutSeconds": kind.max_timeout_seconds,
        "maxAttempts": kind.max_attempts,
        "mostAttempts": kind.most_attempts,
        "concurrency": kind.concurrency,
        "schema": None if kind.schema is None else Raw(kind.schema),
        "resultSchema": None if kind.result_schema is None else Raw(kind.result_schema),
    }
