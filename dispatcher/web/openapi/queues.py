"""`/v1/queues`, `/v1/pause` and `/v1/resume`, described."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from dispatcher.core.errors import NotFound
from dispatcher.core.limits import Limits
from dispatcher.web.openapi.described import Answer, Call, Operation, Parameter
from dispatcher.web.openapi.shapes import NAME, TIME, Count, Time, paging

_TAG: Final = "Operators"
_NAME: Final = Parameter(
    name="name",
    place="path",
    description="The name of a queue.",
    schema={"type": "string"} | NAME,
    example="default",
)


class Queue(Struct, frozen=True, kw_only=True, rename="camel"):
    """A queue and what is in it."""

    name: str
    depth: Annotated[Count, Meta(description="Jobs that are due and wait.")]
    scheduled: Annotated[Count, Meta(description="Jobs that wait for their time.")]
    running: Count
    oldest_age_seconds: float | None
    paused_at: Time | None


class QueueList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of queues."""

    items: list[Queue]
    next_cursor: str | None
    paused_at: Annotated[Time | None, Meta(description="Since when all are paused.")]


class QueuePause(Struct, frozen=True, kw_only=True, rename="camel"):
    """Since when a queue is paused, or null."""

    name: str
    paused_at: Time | None


class PauseOfAll(Struct, frozen=True, kw_only=True, rename="camel"):
    """Since when all queues are paused, or null."""

    paused_at: Time | None


_QUEUE: Final = Queue(
    name="default", depth=3, scheduled=0, running=1, oldest_age_seconds=0.25, paused_at=None
)


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    shown = {"items": [_QUEUE], "nextCursor": None, "pausedAt": None}
    answer = Answer(
        status=200,
        description="A page of queues.",
        shape=QueueList,
        example=shown,
        headers=("Link",),
    )
    return {
        ("GET", "/v1/queues"): Operation(
            id="listQueues",
            tag=_TAG,
            summary="List queues",
            description="By name, with how much waits and runs in each.",
            parameters=paging(limits),
            answers=(answer,),
        ),
        ("POST", "/v1/queues/{name}/pause"): _of_one("pauseQueue", "Begin no job of a queue", TIME),
        ("POST", "/v1/queues/{name}/resume"): _of_one("resumeQueue", "Run a queue again", None),
        ("POST", "/v1/pause"): _of_all("pauseAll", "Begin no job at all", TIME),
        ("POST", "/v1/resume"): _of_all("resumeAll", "Run the queues again", None),
    }


def _of_one(name: str, summary: str, at: str | None) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        description="Jobs are accepted and wait, what runs goes on. Idempotent.",
        parameters=(_NAME,),
        takes_no_body=True,
        answers=(_answer(QueuePause, QueuePause(name="default", paused_at=at)),),
        problems=(NotFound("queue", ""),),
    )


def _of_all(name: str, summary: str, at: str | None) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        description="Queues that were paused by name stay so. Idempotent.",
        takes_no_body=True,
        answers=(_answer(PauseOfAll, PauseOfAll(paused_at=at)),),
    )


def _answer(shape: Any, example: Any) -> Answer:
    return Answer(status=200, description="As it is now.", shape=shape, example=example)
