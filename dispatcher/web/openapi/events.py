"""`/v1/events` and `/v1/jobs/{id}/events`, described: as lists, as streams, as a feed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from dispatcher.core.errors import NotFound
from dispatcher.core.limits import Limits
from dispatcher.core.model import EventType
from dispatcher.web.openapi.described import Answer, Call, Operation, Parameter
from dispatcher.web.openapi.jobs_shown import ENDED, Event, EventList
from dispatcher.web.openapi.shapes import JOB_ID, of_caller, paging, path_id, prefer
from dispatcher.web.refusals import NotAcceptable, StreamsFull, TooManyStreams

_TAG: Final = "Events"
_READ: Final = ENDED | {"callbackUrl": None}
_STREAM: Final = (
    "With `Accept: text/event-stream` a stream of Server-Sent Events (WHATWG HTML, 9.2): `event` "
    "is the type, `data` the event, `id` resumes."
)
_STREAM_HEADERS: Final = ("Vary", "Cache-Control", "X-Accel-Buffering")
_STREAM_PROBLEMS: Final = (NotAcceptable, TooManyStreams, StreamsFull)
_LAST_EVENT_ID: Final = Parameter(
    name="Last-Event-ID",
    place="header",
    description="Of a stream alone: the `id` after which to go on.",
    schema={"type": "string"},
)


class Feed(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the feed."""

    items: list[Event]
    next_cursor: Annotated[str, Meta(description="Where to go on; given at the end, too.")]
    gap: Annotated[bool, Meta(description="Events after the cursor are not kept any more.")]


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {("GET", "/v1/events"): _feed(limits), ("GET", "/v1/jobs/{id}/events"): _of_job(limits)}


def _feed(limits: Limits) -> Operation:
    names = "|".join(each.value.replace(".", "\\.") for each in EventType)
    return Operation(
        id="readFeed",
        tag=_TAG,
        summary="The feed of events",
        description="A caller's events, oldest first; operators read everyone's. Keep "
        f"`nextCursor` with what you did: then each event is seen once. {_STREAM}",
        parameters=(
            Parameter(
                name="types",
                description="Of those types alone, with commas between.",
                schema={"type": "string", "pattern": f"^(?:{names})(?:,(?:{names}))*$"},
            ),
            of_caller("For operators: of that caller alone."),
            *paging(limits),
            prefer("wait=1", "a list is held until there is an event;"),
            _LAST_EVENT_ID,
        ),
        answers=(
            Answer(
                status=200,
                description="Events, as a list or as a stream without end.",
                shape=Feed,
                streams=True,
                headers=("Link", "Preference-Applied", *_STREAM_HEADERS),
                example={"items": [_READ], "nextCursor": "bmV4dA", "gap": False},
            ),
        ),
        problems=(NotFound("caller", ""), *_STREAM_PROBLEMS),
    )


def _of_job(limits: Limits) -> Operation:
    return Operation(
        id="listJobEvents",
        tag=_TAG,
        summary="The events of a job",
        description="Its stored events, oldest first, each as its callback has it. "
        f"{_STREAM} It ends after the job's last event.",
        parameters=(path_id("a job", "job", JOB_ID), *paging(limits), _LAST_EVENT_ID),
        answers=(
            Answer(
                status=200,
                description="Events, as a list or as a stream.",
                shape=EventList,
                streams=True,
                headers=("Link", *_STREAM_HEADERS),
                example={"items": [_READ], "nextCursor": None},
            ),
            Answer(
                status=204,
                description="Of a stream alone: the job's last event was read; don't come again.",
            ),
        ),
        problems=(NotFound("job", ""), *_STREAM_PROBLEMS),
    )
