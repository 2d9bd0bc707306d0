"""What operators look at, described: types of job, the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from dispatcher.core.audit import AuditAction, Via
from dispatcher.core.limits import Limits
from dispatcher.web.openapi.described import Answer, Call, Operation, Parameter
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    JOB_ID,
    KEY_ID,
    TIME,
    CallerId,
    KeyId,
    NextCursor,
    Time,
    created,
    of_caller,
    paging,
    visible,
    words,
)

_TAG: Final = "Operators"


class JobType(Struct, frozen=True, kw_only=True, rename="camel"):
    """A kind of job that can be submitted."""

    name: str
    description: str
    runner: str
    queue: str
    timeout_seconds: float
    max_timeout_seconds: float | None
    max_attempts: int
    most_attempts: int | None
    concurrency: int | None
    schema: Annotated[
        dict[str, Any] | bool | None, Meta(description="The JSON Schema of its input; null: any.")
    ]
    result_schema: Annotated[
        dict[str, Any] | bool | None, Meta(description="That of its result; null: not known.")
    ]


class JobTypeList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of types."""

    items: list[JobType]
    next_cursor: NextCursor


class Actor(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who did something, and from where."""

    via: Annotated[Via, Meta(description="`cli`: a command in the store itself.")]
    caller_id: CallerId | None
    key_id: KeyId | None
    address: str | None


class AuditEntry(Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that an operator did."""

    id: str
    at: Time
    action: AuditAction
    target: Annotated[str, Meta(description="The id of what it was done to.")]
    caller_id: Annotated[CallerId | None, Meta(description="Whose the target is.")]
    actor: Actor
    request_id: str | None
    detail: dict[str, Any]


class AuditList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the audit log."""

    items: list[AuditEntry]
    next_cursor: NextCursor


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of these."""
    return {
        ("GET", "/v1/types"): Operation(
            id="listTypes",
            tag=_TAG,
            summary="The types of job",
            description="By name, each with the JSON Schemas of its input and result.",
            parameters=paging(limits),
            answers=(
                Answer(
                    status=200,
                    description="A page of types.",
                    shape=JobTypeList,
                    headers=("Link",),
                    example={"items": [_TYPE], "nextCursor": None},
                ),
            ),
        ),
        ("GET", "/v1/audit"): Operation(
            id="listAudit",
            tag=_TAG,
            summary="What operators did",
            description="Newest first.",
            parameters=(
                words("action", "Of that kind alone.", AuditAction),
                Parameter(
                    name="target", description="Done to that id alone.", schema=visible(limits)
                ),
                of_caller("Done to what is that caller's."),
                of_caller("Done by that caller.", "actorId"),
                *created("entries"),
                *paging(limits),
            ),
            answers=(
                Answer(
                    status=200,
                    description="A page of entries.",
                    shape=AuditList,
                    headers=("Link",),
                    example={"items": [_ENTRY], "nextCursor": None},
                ),
            ),
        ),
    }


_TYPE: Final = JobType(
    name="report.generate",
    description="Makes a report.",
    runner="python",
    queue="default",
    timeout_seconds=600,
    max_timeout_seconds=None,
    max_attempts=3,
    most_attempts=None,
    concurrency=None,
    schema={"type": "object", "properties": {"month": {"type": "string"}}, "required": ["month"]},
    result_schema=None,
)
_ENTRY: Final = AuditEntry(
    id="aud_01a1fb51e1d37b3f8e0a7c5d92b4f681",
    at=TIME,
    action=AuditAction.JOB_CANCEL,
    target=JOB_ID,
    caller_id=CALLER_ID,
    actor=Actor(
        via=Via.API,
        caller_id="clr_01a1fb51e1d2776cb7dbf29c0a4b0ff1",
        key_id=KEY_ID,
        address="192.0.2.7",
    ),
    request_id="req_01a1fb51e1d37b3f8e0a7c5d92b4f600",
    detail={},
)
