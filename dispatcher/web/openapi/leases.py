"""`/v1/leases` and below, described."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from dispatcher.core.errors import LeaseEnded, NotFound, Stopping
from dispatcher.core.limits import Limits
from dispatcher.core.model import JobStatus
from dispatcher.web.openapi.described import Answer, Body, Call, Operation
from dispatcher.web.openapi.jobs_shown import LEASED, JobData
from dispatcher.web.openapi.shapes import TIME, Time, path_id, prefer
from dispatcher.web.wire import CompleteBody, FailBody, HeartbeatBody, LeasesBody, SnoozeBody

_TAG: Final = "Workers"
LEASE_ID: Final = "lse_01a1fb51e1d37b3f8e0a7c5d92b4f6e7"
_ID: Final = path_id("a lease", "lse", LEASE_ID)
_LOST: Final = (NotFound("lease", ""), LeaseEnded)


class Lease(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job that is the worker's to do."""

    id: Annotated[str, Meta(pattern="^lse_[0-9a-f]{32}$", examples=[LEASE_ID])]
    job: JobData
    input: Annotated[Any, Meta(description="As submitted: any JSON.")]
    attempt: Annotated[int, Meta(ge=1)]
    expires_at: Time


class Leased(Struct, frozen=True, kw_only=True):
    """What there is to do; empty: nothing."""

    leases: list[Lease]


class Renewed(Struct, frozen=True, kw_only=True, rename="camel"):
    """How long a lease lasts now."""

    expires_at: Time
    cancel_requested: Annotated[bool, Meta(description="True: stop, and `fail`.")]


class LeaseDone(Struct, frozen=True, kw_only=True):
    """The job after its lease; nothing if it is erased already."""

    job: JobData | UnsetType = UNSET


_LEASE: Final = Lease(id=LEASE_ID, job=LEASED, input={"hello": "world"}, attempt=1, expires_at=TIME)
_FIRST: Final = "$response.body#/leases/0/id"
_GOES_ON: Final = (
    ("heartbeat", "renewLease", _FIRST),
    ("complete", "completeLease", _FIRST),
    ("fail", "failLease", _FIRST),
    ("snooze", "snoozeLease", _FIRST),
)
_AGAIN: Final = structs.replace(LEASED, status=JobStatus.RETRYING)


def operations(limits: Limits) -> dict[Call, Operation]:  # noqa: ARG001  # as every module's
    """Every call of this resource but the first, which depends on the types: `giving_out`."""
    return {
        ("POST", "/v1/leases/{id}/heartbeat"): _HEARTBEAT,
        ("POST", "/v1/leases/{id}/complete"): _end(
            "completeLease",
            "Say that a job succeeded",
            CompleteBody,
            {"Its result": {"result": {"words": 12}}},
        ),
        ("POST", "/v1/leases/{id}/fail"): _end(
            "failLease",
            "Say that an attempt failed",
            FailBody,
            {
                "Try again": {"error": {"code": "no-speech", "detail": "…"}, "retriable": True},
                "Give up": {"error": {"code": "no-speech", "detail": "It is silent."}},
            },
        ),
        ("POST", "/v1/leases/{id}/snooze"): _end(
            "snoozeLease",
            "Put a job back for later",
            SnoozeBody,
            {"In a minute": {"seconds": 60}},
        ),
    }


def giving_out(remote: tuple[str, ...]) -> dict[Call, Operation]:
    """`POST /v1/leases`, with an example of the types that can be leased here."""
    examples: dict[str, Any] = {}
    none = "\n\nNo type is declared here whose runner is `remote`." if not remote else ""
    if remote:
        examples["A few"] = {"types": [remote[0]], "limit": 5, "leaseSeconds": 60}
    operation = Operation(
        id="leaseJobs",
        tag=_TAG,
        summary="Lease jobs",
        description=f"Up to `limit` jobs that are due, of types whose runner is `remote`.{none}",
        parameters=(prefer("wait=1", "held until there is a job;"),),
        body=Body(shape=LeasesBody, examples=examples),
        answers=(
            Answer(
                status=200,
                description="What there is to do.",
                shape=Leased,
                headers=("Preference-Applied",),
                example=Leased(leases=[_LEASE]),
                links=_GOES_ON,
            ),
        ),
        problems=(Stopping,),
    )
    return {("POST", "/v1/leases"): operation}


def _end(name: str, summary: str, shape: Any, examples: dict[str, Any]) -> Operation:
    answer = Answer(
        status=200, description="The job as it is now.", shape=LeaseDone, example={"job": _AGAIN}
    )
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        description="The same said again is answered 200 again.",
        parameters=(_ID,),
        body=Body(shape=shape, examples=examples),
        answers=(answer,),
        problems=_LOST,
    )


_HEARTBEAT: Final = Operation(
    id="renewLease",
    tag=_TAG,
    summary="Keep a lease",
    description="Send one each third of the lease.",
    parameters=(_ID,),
    body=Body(
        shape=HeartbeatBody,
        required=False,
        examples={"With progress": {"progress": {"current": 3, "total": 10}}},
    ),
    answers=(
        Answer(
            status=200,
            description="It lasts longer.",
            shape=Renewed,
            example=Renewed(expires_at=TIME, cancel_requested=False),
        ),
    ),
    problems=_LOST,
)
