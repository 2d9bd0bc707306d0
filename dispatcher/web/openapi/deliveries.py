"""`/v1/deliveries` and below, described."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from dispatcher.core.errors import DeliveryPending, EndpointDeleted, NotFound
from dispatcher.core.limits import Limits
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.web.openapi.described import Answer, Call, Operation, Parameter
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    DELIVERY_ID,
    EVENT_ID,
    JOB_ID,
    TIME,
    CallbackUrl,
    CallerId,
    Count,
    DeliveryId,
    EventId,
    JobId,
    NextCursor,
    Time,
    created,
    of_caller,
    paging,
    path_id,
    words,
)

_TAG: Final = "Deliveries"
_ID: Final = path_id("a delivery", "dlv", DELIVERY_ID)
_FIRST: Final = "$response.body#/items/0/id"
GO_ON: Final = (
    ("delivery", "getDelivery", _FIRST),
    ("redeliver", "redeliver", _FIRST),
    ("cancel", "cancelDelivery", _FIRST),
)
"""From a list of deliveries to one of them."""
_NO_DELIVERY: Final = NotFound("delivery", "")


class AttemptError(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why an attempt to deliver failed."""

    code: Annotated[str, Meta(description="A stable word.")]
    detail: str


class Attempt(Struct, frozen=True, kw_only=True, rename="camel"):
    """One attempt to deliver."""

    number: Annotated[int, Meta(ge=1)]
    at: Time
    duration_ms: Count
    status_code: int | None
    error: AttemptError | None
    response_body: Annotated[str | None, Meta(description="Its beginning, 4 KiB at most.")]


class Delivery(Struct, frozen=True, kw_only=True, rename="camel"):
    """One event's way to one URL."""

    id: DeliveryId
    event_id: EventId
    event_type: EventType
    job_id: JobId | None
    caller_id: CallerId
    endpoint_id: str | None
    url: CallbackUrl
    status: DeliveryState
    attempt_count: Count
    next_attempt_at: Time | None
    created_at: Time
    finished_at: Time | None
    cancel_requested_at: Time | None


class DeliveryWithAttempts(Delivery, frozen=True, kw_only=True, rename="camel"):
    """A delivery with the attempts that were made."""

    attempts: list[Attempt]


class LastAttempt(Struct, frozen=True, kw_only=True, rename="camel"):
    """The last attempt that was recorded, without what was answered."""

    number: Annotated[int, Meta(ge=1)]
    at: Time
    duration_ms: Count
    status_code: int | None
    error: AttemptError | None


class DeadDelivery(Delivery, frozen=True, kw_only=True, rename="camel"):
    """`data` of `delivery.dead`."""

    last_attempt: LastAttempt | None


class DeliveryList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of deliveries, without their attempts."""

    items: list[Delivery]
    next_cursor: NextCursor


class DeliveryWithAttemptsList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of deliveries, each with its attempts."""

    items: list[DeliveryWithAttempts]
    next_cursor: NextCursor


def a_delivery(
    *, status: DeliveryState = DeliveryState.DELIVERED, attempts: bool = True
) -> dict[str, Any]:
    """An example."""
    ended = status in {DeliveryState.DELIVERED, DeliveryState.CANCELED}
    shown: dict[str, Any] = msgspec.to_builtins(
        DeliveryWithAttempts(
            id=DELIVERY_ID,
            event_id=EVENT_ID,
            event_type=EventType.JOB_SUCCEEDED,
            job_id=JOB_ID,
            caller_id=CALLER_ID,
            endpoint_id=None,
            url="https://example.com/callbacks",
            status=status,
            attempt_count=1,
            next_attempt_at=None if ended else "2026-01-31T09:35:00.123Z",
            created_at=TIME,
            finished_at="2026-01-31T09:30:00.159Z" if ended else None,
            cancel_requested_at=None,
            attempts=[
                Attempt(
                    number=1,
                    at="2026-01-31T09:30:00.131Z",
                    duration_ms=28,
                    status_code=204,
                    error=None,
                    response_body="",
                )
            ],
        )
    )
    if not attempts:
        del shown["attempts"]
    return shown


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {
        ("GET", "/v1/deliveries"): _list(limits),
        ("GET", "/v1/deliveries/{id}"): Operation(
            id="getDelivery",
            tag=_TAG,
            summary="A delivery with its attempts",
            parameters=(_ID,),
            answers=(_answer(200, "The delivery.", DeliveryState.DELIVERED),),
            problems=(_NO_DELIVERY,),
        ),
        ("POST", "/v1/deliveries/{id}/redeliver"): Operation(
            id="redeliver",
            tag=_TAG,
            summary="Send a callback again",
            description="A new round of attempts, with the same `webhook-id` and the same bytes.",
            parameters=(_ID,),
            takes_no_body=True,
            answers=(_answer(202, "A round has begun.", DeliveryState.PENDING, "Location"),),
            problems=(_NO_DELIVERY, DeliveryPending, EndpointDeleted),
        ),
        ("POST", "/v1/deliveries/{id}/cancel"): Operation(
            id="cancelDelivery",
            tag=_TAG,
            summary="Stop a callback",
            description=(
                "Idempotent. One that is being sent stays `sending` and shows `cancelRequestedAt`: "
                "the attempt under way is its last."
            ),
            parameters=(_ID,),
            takes_no_body=True,
            answers=(_answer(200, "The delivery as it is now.", DeliveryState.CANCELED),),
            problems=(_NO_DELIVERY,),
        ),
    }


def _answer(status: int, description: str, state: DeliveryState, *headers: str) -> Answer:
    return Answer(
        status=status,
        description=description,
        shape=DeliveryWithAttempts,
        headers=headers,
        example=a_delivery(status=state),
    )


def _list(limits: Limits) -> Operation:
    return Operation(
        id="listDeliveries",
        tag=_TAG,
        summary="List deliveries",
        description="Newest first, without their attempts.",
        parameters=(
            words("status", "Of that status alone.", DeliveryState),
            Parameter(
                name="jobId",
                description="Of that job alone.",
                schema={"type": "string", "pattern": "^job_[0-9a-f]{32}$"},
            ),
            words("eventType", "Of that type of event alone.", EventType),
            Parameter(
                name="url",
                description="To that URL alone, compared as a whole; percent-encode it.",
                schema={
                    "type": "string",
                    "maxLength": limits.url_characters,
                    "pattern": "^https?://[!-~]+$",
                },
            ),
            *created("deliveries"),
            of_caller("For operators: of that caller alone."),
            *paging(limits),
        ),
        answers=(
            Answer(
                status=200,
                description="A page of deliveries.",
                shape=DeliveryList,
                headers=("Link",),
                example={"items": [a_delivery(attempts=False)], "nextCursor": None},
                links=GO_ON,
            ),
        ),
    )
