"""`/v1/endpoints` and below, described; and what is POSTed to them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, structs

from dispatcher.core.endpoints import DEFAULT_EVENTS, DisabledReason
from dispatcher.core.errors import EndpointDisabled, NotFound, TooMany
from dispatcher.core.limits import Limits
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.web.openapi.callers import SecretShown
from dispatcher.web.openapi.deliveries import DeliveryWithAttempts, a_delivery
from dispatcher.web.openapi.described import Answer, Body, Call, Operation
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    TIME,
    CallbackUrl,
    CallerId,
    NextCursor,
    Time,
    of_caller,
    paging,
    path_id,
)
from dispatcher.web.wire import EndpointBody, EndpointChangeBody, RotationBody

_TAG: Final = "Endpoints"
ENDPOINT_ID: Final = "ep_01a1fb51e1d37b3f8e0a7c5d92b4f6a2"
_ID: Final = path_id("an endpoint", "ep", ENDPOINT_ID)
_NO_ENDPOINT: Final = NotFound("endpoint", "")
_SECRET: Final = "whsec_RXhhbXBsZS1zZWNyZXQtMDEtRXhhbXBsZS1zZWNyZXQ="  # noqa: S105  # an example

EndpointId = Annotated[str, Meta(pattern="^ep_[0-9a-f]{32}$", examples=[ENDPOINT_ID])]
Secret = Annotated[str, Meta(pattern="^whsec_", description="Shown in this answer alone.")]


class EndpointData(Struct, frozen=True, kw_only=True, rename="camel"):
    """`data` of `endpoint.disabled` and `ping`: the endpoint as it was."""

    id: EndpointId
    caller_id: CallerId
    url: CallbackUrl
    events: list[EventType]
    headers: Annotated[dict[str, str], Meta(description="Values are shown as `***`.")]
    schedule: Annotated[
        list[float] | None, Meta(description="Null: its caller's, or the service's.")
    ]
    ordered: bool
    rate_limit: Annotated[float | None, Meta(description="Callbacks a second at most.")]
    status: Literal["enabled", "disabled"]
    disabled_reason: DisabledReason | None
    disabled_at: Time | None
    failing_since: Annotated[
        Time | None, Meta(description="Since when nothing but failures came of it.")
    ]
    created_at: Time


class Endpoint(EndpointData, frozen=True, kw_only=True, rename="camel"):
    """A registered callback URL, subscribed to events of all of its caller's jobs."""

    secrets: list[SecretShown]


class NewEndpoint(Endpoint, frozen=True, kw_only=True, rename="camel"):
    """An endpoint that was made, with its secret."""

    secret: Secret


class EndpointList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of endpoints."""

    items: list[Endpoint]
    next_cursor: NextCursor


class NewEndpointSecret(Struct, frozen=True, kw_only=True, rename="camel"):
    """A signing secret that was made for an endpoint."""

    endpoint_id: EndpointId
    secret: Secret
    created_at: Time
    others_sign_until: Time | None


_ENDPOINT: Final = Endpoint(
    id=ENDPOINT_ID,
    caller_id=CALLER_ID,
    url="https://example.com/events",
    events=list(DEFAULT_EVENTS),
    headers={},
    schedule=None,
    ordered=False,
    rate_limit=None,
    status="enabled",
    disabled_reason=None,
    disabled_at=None,
    failing_since=None,
    created_at=TIME,
    secrets=[SecretShown(created_at=TIME, expires_at=None)],
)
_DISABLED: Final = structs.replace(
    _ENDPOINT, status="disabled", disabled_reason=DisabledReason.MANUAL, disabled_at=TIME
)
_URL: Final = {"url": "https://example.com/events"}


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {
        ("POST", "/v1/endpoints"): _CREATE,
        ("GET", "/v1/endpoints"): Operation(
            id="listEndpoints",
            tag=_TAG,
            summary="List endpoints",
            description="Newest first.",
            parameters=(of_caller("For operators: of that caller alone."), *paging(limits)),
            answers=(
                Answer(
                    status=200,
                    description="A page of endpoints.",
                    shape=EndpointList,
                    headers=("Link",),
                    example={"items": [_ENDPOINT], "nextCursor": None},
                ),
            ),
        ),
        ("GET", "/v1/endpoints/{id}"): _simple("getEndpoint", "An endpoint", "The endpoint."),
        ("PATCH", "/v1/endpoints/{id}"): Operation(
            id="changeEndpoint",
            tag=_TAG,
            summary="Change an endpoint",
            description="What is left out stays as it is; null gives it the default.",
            parameters=(_ID,),
            body=Body(
                shape=EndpointChangeBody,
                examples={
                    "Other events": {"events": ["job.failed", "delivery.dead"]},
                    "A rate": {"rateLimit": 5},
                },
            ),
            answers=(_answer("The endpoint as it is now."),),
            problems=(_NO_ENDPOINT,),
        ),
        ("DELETE", "/v1/endpoints/{id}"): _DELETE,
        ("POST", "/v1/endpoints/{id}/rotate-secret"): _ROTATE,
        ("POST", "/v1/endpoints/{id}/enable"): _simple(
            "enableEndpoint",
            "Enable an endpoint",
            "The endpoint; what has waited for it is sent.",
            takes_no_body=True,
        ),
        ("POST", "/v1/endpoints/{id}/disable"): _simple(
            "disableEndpoint",
            "Disable an endpoint",
            "The endpoint; what it is owed waits, up to 30 days, until it is enabled.",
            takes_no_body=True,
            example=_DISABLED,
        ),
        ("POST", "/v1/endpoints/{id}/ping"): _PING,
    }


def _answer(description: str, example: Endpoint = _ENDPOINT) -> Answer:
    return Answer(status=200, description=description, shape=Endpoint, example=example)


def _simple(
    name: str,
    summary: str,
    description: str,
    *,
    takes_no_body: bool = False,
    example: Endpoint = _ENDPOINT,
) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        parameters=(_ID,),
        takes_no_body=takes_no_body,
        answers=(_answer(description, example),),
        problems=(_NO_ENDPOINT,),
    )


def _ping() -> dict[str, Any]:
    shown = a_delivery(status=DeliveryState.PENDING)
    return shown | {
        "eventType": "ping",
        "jobId": None,
        "endpointId": ENDPOINT_ID,
        "url": _URL["url"],
        "attemptCount": 0,
        "attempts": [],
    }


_CREATE: Final = Operation(
    id="createEndpoint",
    tag=_TAG,
    summary="Register a callback URL",
    description="It gets the events it subscribes to of all jobs of its caller, signed with a "
    "secret of its own.",
    parameters=(of_caller("An operator registers it for another caller."),),
    body=Body(
        shape=EndpointBody,
        examples={
            "The least": _URL,
            "With more": _URL
            | {
                "events": ["job.succeeded", "job.failed", "delivery.dead"],
                "headers": {"x-tenant": "blue"},
                "schedule": [0, 5, 300],
                "ordered": True,
                "rateLimit": 10,
            },
        },
    ),
    answers=(
        Answer(
            status=201,
            description="It is made.",
            shape=NewEndpoint,
            headers=("Location", "Cache-Control"),
            example=msgspec.to_builtins(_ENDPOINT) | {"secret": _SECRET},
        ),
    ),
    problems=(NotFound("caller", ""), TooMany("endpoint", 0, "")),
)
_ROTATE: Final = Operation(
    id="rotateEndpointSecret",
    tag=_TAG,
    summary="Give an endpoint a new signing secret",
    description="Those that are there go on signing beside it for a while: a day, unless said.",
    parameters=(_ID,),
    body=Body(
        shape=RotationBody,
        required=False,
        examples={"Over two days": {"overlapSeconds": 172_800}},
    ),
    answers=(
        Answer(
            status=200,
            description="The new secret.",
            shape=NewEndpointSecret,
            headers=("Cache-Control",),
            example=NewEndpointSecret(
                endpoint_id=ENDPOINT_ID, secret=_SECRET, created_at=TIME, others_sign_until=TIME
            ),
        ),
    ),
    problems=(_NO_ENDPOINT, TooMany("secret", 0, "")),
)
_PING: Final = Operation(
    id="pingEndpoint",
    tag=_TAG,
    summary="Send a ping",
    description="Once, so that you see whether it arrives.",
    parameters=(_ID,),
    takes_no_body=True,
    answers=(
        Answer(
            status=202,
            description="Its delivery: watch it at `Location`.",
            shape=DeliveryWithAttempts,
            headers=("Location",),
            example=_ping(),
        ),
    ),
    problems=(_NO_ENDPOINT, EndpointDisabled),
)
_DELETE: Final = Operation(
    id="deleteEndpoint",
    tag=_TAG,
    summary="Delete an endpoint",
    description="What it is owed is canceled.",
    parameters=(_ID,),
    takes_no_body=True,
    answers=(Answer(status=204, description="It is gone."),),
    problems=(_NO_ENDPOINT,),
)
