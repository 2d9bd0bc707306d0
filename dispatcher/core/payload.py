"""The JSON of a job, and the bytes of a callback.

A job looks the same everywhere: in `GET /v1/jobs/{id}`, in events, in callbacks. A callback is
rendered from parts that never change after its event's commit (the ended job, its result, or the
event's snapshot), so that each attempt sends the same bytes without the body being stored.
Results and outputs pass through as the bytes they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from dispatcher.core.lifecycle import TERMINAL_EVENTS, shown_status
from dispatcher.core.model import (
    API_VERSION,
    INLINE_RESULT_BYTES,
    Attempt,
    Callback,
    CallbackMode,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Instant,
    Job,
    JobError,
    JobState,
    Progress,
)

_encoder: Final = msgspec.json.Encoder()
encode: Final = _encoder.encode
"""JSON in UTF-8 without spaces; structs as objects, `Raw` as it is."""


def rfc3339(at: Instant | None) -> str | None:
    """`2026-01-31T09:30:00.123Z` (RFC 3339, UTC, milliseconds); None stays None."""
    if at is None:
        return None
    whole, millis = divmod(at, 1000)
    return f"{_second(whole)}.{millis:03d}Z"


@lru_cache(maxsize=4096)
def _second(whole: int) -> str:
    """A second in writing; a job's times are mostly within the same few."""
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]


def seconds(value: float) -> int | float:
    """A duration as it is written: whole seconds without a fraction, whoever made the number.

    So a value that has been through the database, or through JSON, gives the same bytes as before.
    """
    return int(value) if value == int(value) else value


_NO_OUTPUT: Final = Raw()


class Snapshot(Struct, frozen=True, omit_defaults=True):
    """What changes in a job while it runs, kept with an event that is not its last.

    `output` is empty without one: an optional `Raw` would decode nothing but null.
    """

    version: int
    attempt_count: int
    started_at: Instant | None = None
    cancel_requested_at: Instant | None = None
    progress: Progress | None = None
    error: JobError | None = None
    output: Raw = _NO_OUTPUT


_snapshot_decoder: Final = msgspec.json.Decoder(Snapshot)


def snapshot(job: Job, output: bytes | None = None) -> bytes:
    """The JSON that an event keeps of a job that has not ended, for `Event.data`."""
    return encode(
        Snapshot(
            job.version,
            job.attempt_count,
            job.started_at,
            job.cancel_requested_at,
            job.progress,
            job.error,
            _NO_OUTPUT if output is None else Raw(output),
        )
    )


def job_at_event(event: Event, job: Job) -> tuple[Job, Raw | None]:
    """The job as it was when `event` was committed, and the event's output if it has one."""
    if event.data is None:
        return job, None
    then = _snapshot_decoder.decode(event.data)
    was = msgspec.structs.replace(
        job,
        state=JobState.RUNNING,
        version=then.version,
        attempt_count=then.attempt_count,
        started_at=then.started_at,
        cancel_requested_at=then.cancel_requested_at,
        progress=then.progress,
        error=then.error,
        retrying=False,
        finished_at=None,
        expires_at=None,
        result_bytes=None,
    )
    return was, then.output if bytes(then.output) else None


def callback_json(callback: Callback | None) -> dict[str, Any] | None:
    """`callback` as submitted; header values are shown as `***`."""
    if callback is None:
        return None
    shown: dict[str, Any] = {}
    if callback.events is not None:
        shown["events"] = callback.events
    if callback.mode is not CallbackMode.FULL:
        shown["mode"] = callback.mode
    if callback.schedule is not None:
        shown["schedule"] = [seconds(each) for each in callback.schedule.seconds]
    if callback.ordered is not None:
        shown["ordered"] = True
        shown["onDead"] = callback.ordered
    if callback.headers:
        shown["headers"] = dict.fromkeys(callback.headers, "***")
    return shown or None


def job_json(job: Job, links_base: str, now: Instant, result: bytes | None) -> dict[str, Any]:
    """A job as callers see it, without `delivery`, `expiresAt` and `estimatedFinishAt`.

    Args:
        job: the job.
        links_base: the public URL, without a slash at its end.
        now: decides whether a waiting job shows as queued; any instant will do for one that ended.
        result: the result's JSON if it is to stand inline, or None.

    Members without a value are null, so that a reader finds them; `result` and `resultOmitted` are
    there only for a job that succeeded.
    """
    own = f"{links_base}/v1/jobs/{job.id}"
    shown: dict[str, Any] = {
        "id": job.id,
        "callerId": job.caller_id,
        "type": job.type,
        "status": shown_status(job, now),
        "done": job.done,
        "queue": job.queue,
        "priority": job.priority,
        "attemptCount": job.attempt_count,
        "maxAttempts": job.max_attempts,
        "timeoutSeconds": seconds(job.timeout_seconds),
        "retentionSeconds": seconds(job.retention_seconds),
        "progress": job.progress,
        "error": job.error,
        "createdAt": rfc3339(job.created_at),
        "runAt": None if job.run_at is None else rfc3339(job.run_at),
        "startBy": None if job.start_by is None else rfc3339(job.start_by),
        "deadline": None if job.deadline is None else rfc3339(job.deadline),
        "startedAt": rfc3339(job.started_at),
        "finishedAt": rfc3339(job.finished_at),
        "cancelRequestedAt": (
            None if job.cancel_requested_at is None else rfc3339(job.cancel_requested_at)
        ),
        "callbackUrl": None if job.callback is None else job.callback.url,
        "callback": callback_json(job.callback),
        "orderingKey": job.ordering_key,
        "correlationId": job.correlation_id,
        "metadata": job.metadata,
        "replayOf": job.replay_of,
        "apiVersion": job.api_version,
        "links": {
            "self": own,
            "result": f"{own}/result",
            "events": f"{own}/events",
            "deliveries": f"{own}/deliveries",
            "cancel": f"{own}/cancel",
        },
    }
    if job.state is JobState.SUCCEEDED:
        shown["resultUrl"] = f"{own}/result"
        shown["resultOmitted"] = result is None
        if result is not None:
            shown["result"] = Raw(result)
    return shown


def inline(job: Job, result: bytes | None) -> bytes | None:
    """The result if it may stand inline: it is there and has at most 64 KiB."""
    if job.result_bytes is None or job.result_bytes > INLINE_RESULT_BYTES:
        return None
    return result


def event_json(
    event: Event, job: Job | None, url: str | None, *, result: bytes | None, thin: bool = False
) -> dict[str, Any]:
    """An event, everywhere the same: `data` is the job as it was at the event's commit.

    For one that is not of a job's course it is what the event itself keeps, and `sequence` is null.
    `url` is where it is posted to, None where it is read (feed, SSE, list).
    """
    data: dict[str, Any] | Raw
    if job is None or event.sequence is None:
        data = Raw(event.data or b"null")
    else:
        was, output = job_at_event(event, job)
        data = job_json(was, event.links_base, event.at, None if thin else inline(was, result))
        if output is not None:
            data["output"] = output
    return {
        "id": event.id,
        "type": event.type,
        "timestamp": rfc3339(event.at),
        "apiVersion": API_VERSION if job is None else job.api_version,
        "sequence": event.sequence,
        "callerId": event.caller_id,
        "callbackUrl": url,
        "data": data,
    }


def callback_body(
    event: Event, job: Job | None, url: str, result: bytes | None, *, registered: bool = False
) -> bytes:
    """The bytes to sign and POST: the same for each attempt.

    `registered`: to an endpoint, for which the mode of the job's own callback does not count.
    """
    callback = None if job is None or registered else job.callback
    thin = callback is not None and callback.mode is CallbackMode.THIN
    return encode(event_json(event, job, url, result=result, thin=thin))


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery as callers see it, without its attempts."""
    waits = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "jobId": delivery.job_id,
        "callerId": delivery.caller_id,
        "endpointId": delivery.endpoint_id,
        "url": delivery.url,
        "status": delivery.state,
        "attemptCount": delivery.attempt_count,
        "nextAttemptAt": rfc3339(delivery.due_at) if waits else None,
        "createdAt": rfc3339(delivery.created_at),
        "finishedAt": rfc3339(delivery.finished_at),
        "cancelRequestedAt": rfc3339(delivery.cancel_requested_at),
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """An attempt as callers see it, without what the receiver answered."""
    return {
        "number": attempt.number,
        "at": rfc3339(attempt.at),
        "durationMs": attempt.duration_ms,
        "statusCode": attempt.status_code,
        "error": attempt.error,
    }


def tells_of_death(event: EventType) -> bool:
    """Whether `delivery.dead` is told when a delivery of such an event is dead.

    Of a job's course it is. Of another `delivery.dead` there would be no end.
    """
    return event.startswith("job.")


def dead_data(delivery: Delivery, last: Attempt | None) -> bytes:
    """What `delivery.dead` tells: the delivery, and its last recorded attempt, as JSON.

    All the attempts, and what was answered, stand behind `GET /v1/deliveries/{id}`: there may be
    many, and an event is bounded.
    """
    attempt = None if last is None else attempt_json(last)
    return encode(delivery_json(delivery) | {"lastAttempt": attempt})


def is_terminal(event: Event) -> bool:
    """Whether the event is its job's last."""
    return event.type in TERMINAL_EVENTS
