"""`/v1/destinations` and below, described."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from dispatcher.core.breaker import BreakerState
from dispatcher.core.errors import NotFound
from dispatcher.core.limits import Limits
from dispatcher.web.openapi.described import Answer, Call, Operation
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    CallerId,
    Count,
    NextCursor,
    Time,
    of_caller,
    paging,
    path_id,
)

_TAG: Final = "Operators"
DESTINATION_ID: Final = "dst_01a1fb51e1d37b3f8e0a7c5d92b4f6d5"
_ID: Final = path_id("a destination", "dst", DESTINATION_ID)
_NO_DESTINATION: Final = NotFound("destination", "")


class Breaker(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether anything is sent to a destination after failures."""

    state: BreakerState
    open_until: Time | None


class Destination(Struct, frozen=True, kw_only=True, rename="camel"):
    """An origin that a caller's callbacks go to, and how it stands."""

    id: Annotated[str, Meta(pattern="^dst_[0-9a-f]{32}$", examples=[DESTINATION_ID])]
    caller_id: CallerId
    origin: str
    endpoint_id: str | None
    state: Literal["active", "held", "paused"]
    paused_at: Time | None
    breaker: Breaker
    urls_in_trouble: Count
    sending: Annotated[Count, Meta(description="Callbacks that are being sent now.")]
    pending: Annotated[Count, Meta(description="Callbacks that wait.")]
    due: Annotated[Count, Meta(description="Of those, the ones whose time has come.")]
    oldest_due_at: Time | None


class DestinationList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of destinations."""

    items: list[Destination]
    next_cursor: NextCursor


_DESTINATION: Final = Destination(
    id=DESTINATION_ID,
    caller_id=CALLER_ID,
    origin="https://example.com",
    endpoint_id=None,
    state="active",
    paused_at=None,
    breaker=Breaker(state=BreakerState.CLOSED, open_until=None),
    urls_in_trouble=0,
    sending=1,
    pending=12,
    due=0,
    oldest_due_at=None,
)


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {
        ("GET", "/v1/destinations"): Operation(
            id="listDestinations",
            tag=_TAG,
            summary="Where callbacks go",
            description="Newest first.",
            parameters=(of_caller("Of that caller alone."), *paging(limits)),
            answers=(
                Answer(
                    status=200,
                    description="A page of destinations.",
                    shape=DestinationList,
                    headers=("Link",),
                    example={"items": [_DESTINATION], "nextCursor": None},
                ),
            ),
        ),
        ("GET", "/v1/destinations/{id}"): _one("getDestination", "A destination"),
        ("POST", "/v1/destinations/{id}/pause"): _one(
            "pauseDestination", "Send nothing to a destination", acts=True
        ),
        ("POST", "/v1/destinations/{id}/resume"): _one(
            "resumeDestination", "Send to a destination again", acts=True
        ),
    }


def _one(name: str, summary: str, *, acts: bool = False) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        description="What is due waits meanwhile; idempotent." if acts else "",
        parameters=(_ID,),
        takes_no_body=acts,
        answers=(
            Answer(
                status=200,
                description="The destination as it is now.",
                shape=Destination,
                example=_DESTINATION,
            ),
        ),
        problems=(_NO_DESTINATION,),
    )
