"""`/v1/jobs` and below, described."""

from __future__ import annotations

from typing import Any, Final

from dispatcher.core.errors import (
    DeliveriesOpen,
    DeliveriesSending,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    InvalidHeader,
    JobNotDone,
    JobUnsuccessful,
    NotFound,
    Overloaded,
    OverQuota,
    OverRate,
    QueueFull,
    Stopping,
)
from dispatcher.core.limits import Limits
from dispatcher.core.model import JobStatus
from dispatcher.web.openapi.deliveries import GO_ON, DeliveryWithAttemptsList, a_delivery
from dispatcher.web.openapi.described import Answer, Body, Call, Operation, Parameter
from dispatcher.web.openapi.headers import RATE
from dispatcher.web.openapi.jobs_shown import (
    CANCELED,
    LISTED,
    QUEUED,
    SUCCEEDED,
    Job,
    JobList,
)
from dispatcher.web.openapi.shapes import (
    JOB_ID,
    created,
    name_of,
    of_caller,
    paging,
    path_id,
    prefer,
    visible,
    words,
)
from dispatcher.web.refusals import ResultGone, ResultNotYet
from dispatcher.web.wire import SubmissionBody

_TAG: Final = "Jobs"
_ID: Final = path_id("a job", "job", JOB_ID)
_NO_JOB: Final = NotFound("job", "")
_GOES_ON: Final = (
    ("status", "getJob", "$response.body#/id"),
    ("cancel", "cancelJob", "$response.body#/id"),
    ("result", "getJobResult", "$response.body#/id"),
    ("events", "listJobEvents", "$response.body#/id"),
    ("deliveries", "listJobDeliveries", "$response.body#/id"),
)
_SUBMISSIONS: Final[dict[str, Any]] = {
    "The least": {"type": "dispatcher.echo", "input": {"hello": "world"}},
    "With a callback": {
        "type": "dispatcher.echo",
        "input": {"hello": "world"},
        "callbackUrl": "https://example.com/callbacks",
        "correlationId": "order-4711",
    },
    "With all that steers a callback": {
        "type": "dispatcher.echo",
        "input": None,
        "callbackUrl": "https://example.com/callbacks",
        "callback": {
            "events": ["job.started", "job.succeeded", "job.failed"],
            "mode": "thin",
            "headers": {"x-tenant": "blue"},
            "schedule": [0, 5, 300],
        },
        "queue": "reports",
        "priority": 7,
        "delaySeconds": 60,
        "timeoutSeconds": 30,
        "maxAttempts": 2,
        "metadata": {"order": "4711"},
        "retentionSeconds": 86_400,
        "orderingKey": "order-4711",
    },
}


_HELD: Final = prefer("respond-async, wait=1", "a 200 if the job ends in that time;")
_SENT: Final = ("ETag", "Preference-Applied", "Idempotency-Replayed", *RATE)
_ACCEPTED: Final = (
    Answer(
        status=202,
        description="The job is stored: watch it at `Location`, or await its callback.",
        shape=Job,
        headers=("Location", "Retry-After", *_SENT),
        example=QUEUED,
        links=_GOES_ON,
    ),
    Answer(
        status=200,
        description="With `Prefer: wait=N`: the job has ended, however it did.",
        shape=Job,
        headers=("Content-Location", *_SENT),
        example=LISTED,
    ),
)
_NOT_ACCEPTED: Final = (
    InvalidHeader,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    OverRate,
    OverQuota,
    Overloaded,
    QueueFull,
    Stopping,
)


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {
        ("POST", "/v1/jobs"): _submit(limits),
        ("GET", "/v1/jobs"): _list(limits),
        ("GET", "/v1/jobs/{id}"): _GET,
        ("GET", "/v1/jobs/{id}/result"): _RESULT,
        ("DELETE", "/v1/jobs/{id}"): _DELETE,
        ("POST", "/v1/jobs/{id}/replay"): _replay(limits),
        ("GET", "/v1/jobs/{id}/deliveries"): Operation(
            id="listJobDeliveries",
            tag=_TAG,
            summary="The callbacks of a job",
            description="Newest first, each with its attempts.",
            parameters=(_ID, *paging(limits)),
            answers=(
                Answer(
                    status=200,
                    description="A page of deliveries.",
                    shape=DeliveryWithAttemptsList,
                    headers=("Link",),
                    example={"items": [a_delivery()], "nextCursor": None},
                    links=GO_ON,
                ),
            ),
            problems=(_NO_JOB,),
        ),
        ("POST", "/v1/jobs/{id}/cancel"): _CANCEL,
    }


def _submit(limits: Limits) -> Operation:
    return Operation(
        id="submitJob",
        tag=_TAG,
        summary="Submit a job",
        description=(
            "The answer comes once the job is durably stored; the work goes on behind it. Its "
            "events are POSTed to `callbackUrl`, signed as Standard Webhooks say.\n\n"
            "With an `Idempotency-Key` it is safe to send a submission again: the same key and "
            "body give the first job as it is now."
        ),
        parameters=(
            of_caller("An operator submits for another caller, whose secret signs the callbacks."),
            _idempotency_key(limits),
            _header(
                "traceparent",
                "W3C Trace Context: kept with the job and sent on. One that is none is ignored.",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            _header("tracestate", "Goes with `traceparent`.", "vendor=value"),
            _HELD,
        ),
        body=Body(shape=SubmissionBody, examples=_SUBMISSIONS),
        answers=_ACCEPTED,
        problems=(NotFound("caller", ""), *_NOT_ACCEPTED),
        sends_callbacks=True,
    )


def _replay(limits: Limits) -> Operation:
    return Operation(
        id="replayJob",
        tag=_TAG,
        summary="Submit a job again",
        description=(
            "A new job of the same caller, with the same submission and `replayOf`. The input is "
            "validated again, since its type may have changed."
        ),
        parameters=(_ID, _idempotency_key(limits), _HELD),
        takes_no_body=True,
        answers=_ACCEPTED,
        problems=(_NO_JOB, *_NOT_ACCEPTED),
    )


def _idempotency_key(limits: Limits) -> Parameter:
    return Parameter(
        name="Idempotency-Key",
        place="header",
        description="A key of your own for this submission, in quotes or bare.",
        schema={
            "type": "string",
            "minLength": 1,
            "maxLength": limits.text_characters,
            "pattern": '^(?:[A-Za-z0-9_][A-Za-z0-9_.:/+=@~-]*|"[!#-\\[\\]-~]+")$',
        },
        example='"8e03978e-40d5-43e8"',
    )


def _header(name: str, description: str, example: str) -> Parameter:
    schema = {"type": "string"}
    return Parameter(
        name=name, place="header", description=description, schema=schema, example=example
    )


def _list(limits: Limits) -> Operation:
    return Operation(
        id="listJobs",
        tag=_TAG,
        summary="List jobs",
        description="Newest first, without inputs and results.",
        parameters=(
            words("status", "Of that status alone.", JobStatus),
            name_of("type", "type"),
            name_of("queue", "queue"),
            Parameter(
                name="correlationId",
                description="With that correlation id alone.",
                schema=visible(limits),
            ),
            *created("jobs"),
            of_caller("For operators: of that caller alone."),
            *paging(limits),
        ),
        answers=(
            Answer(
                status=200,
                description="A page of jobs.",
                shape=JobList,
                headers=("Link",),
                example={"items": [LISTED], "nextCursor": None},
            ),
        ),
    )


_GET: Final = Operation(
    id="getJob",
    tag=_TAG,
    summary="A job as it is now",
    parameters=(
        _ID,
        _header("If-None-Match", "The `ETag` that you know: 304 while nothing changed.", '"abc"'),
        prefer("wait=1", "held until the job is done, or differs from that `ETag`;"),
    ),
    answers=(
        Answer(
            status=200,
            description="The job.",
            shape=Job,
            headers=("ETag", "Retry-After", "Preference-Applied"),
            example=SUCCEEDED,
        ),
        Answer(
            status=304,
            description="It is as you know it.",
            headers=("ETag", "Retry-After", "Preference-Applied"),
        ),
    ),
    problems=(_NO_JOB,),
)
_RESULT: Final = Operation(
    id="getJobResult",
    tag=_TAG,
    summary="The result of a job",
    description="Byte for byte as its handler gave it, at any size.",
    parameters=(_ID,),
    answers=(
        Answer(
            status=200,
            description="The result: any JSON.",
            shape={},
            example={"hello": "world"},
        ),
    ),
    problems=(
        _NO_JOB,
        ResultNotYet,
        JobUnsuccessful("failed", None),
        JobUnsuccessful("canceled", None),
        JobUnsuccessful("expired", None),
        ResultGone,
    ),
)
_CANCEL: Final = Operation(
    id="cancelJob",
    tag=_TAG,
    summary="Cancel a job",
    description="Idempotent; the end that is committed first wins.",
    parameters=(_ID,),
    takes_no_body=True,
    answers=(
        Answer(
            status=200,
            description="It has ended, at once or before.",
            shape=Job,
            headers=("ETag",),
            example=CANCELED,
        ),
        Answer(
            status=202,
            description="It is being stopped: watch it at `Location`.",
            shape=Job,
            headers=("Location", "ETag", "Retry-After"),
        ),
    ),
    problems=(_NO_JOB,),
)
_DELETE: Final = Operation(
    id="deleteJob",
    tag=_TAG,
    summary="Erase a job",
    description="One that is done, with its input, result, events and callbacks. Idempotent.",
    parameters=(
        _ID,
        Parameter(
            name="cancelDeliveries",
            description="Whether to cancel the callbacks that it owes.",
            schema={"type": "string", "enum": ["true", "false"]},
        ),
    ),
    takes_no_body=True,
    answers=(Answer(status=204, description="It is erased, now or before."),),
    problems=(_NO_JOB, JobNotDone, DeliveriesOpen, DeliveriesSending),
)
