"""Problems as they are described: which a call can be answered with, and what they look like."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any, Final

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from dispatcher.core.errors import (
    Forbidden,
    Gone,
    InvalidFields,
    InvalidParameter,
    MalformedBody,
    NotFound,
    Overloaded,
    StoreError,
    StoreUnavailable,
    Unauthenticated,
)
from dispatcher.web.openapi.described import Operation, Refusal, Schema
from dispatcher.web.openapi.headers import RATE
from dispatcher.web.openapi.jobs_shown import JobError
from dispatcher.web.problems import PROBLEM_JSON, told
from dispatcher.web.refusals import (
    BodyTooLarge,
    BodyTooSlow,
    UnknownTransferCoding,
    WrongMediaType,
)

# What any request can be answered with, whatever it asks for.
_ANY: Final[tuple[Refusal, ...]] = (
    web.RequestPayloadError,
    UnknownTransferCoding,
    (417, "expectation-failed"),
    InvalidParameter,
    (500, "internal-error"),
    StoreUnavailable,
    StoreError,
)
_WITH_KEY: Final[tuple[Refusal, ...]] = (Unauthenticated, Forbidden)
_WITH_BODY: Final[tuple[Refusal, ...]] = (
    MalformedBody,
    InvalidFields,
    WrongMediaType,
    BodyTooLarge,
    BodyTooSlow,
    Overloaded,
)


class FieldError(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a body."""

    pointer: Annotated[str, Meta(description='A JSON pointer (RFC 6901); "" is the whole body.')]
    code: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, rename={"violated_policies": "violated-policies"}):
    """What went wrong (RFC 9457). `code` is a stable word to decide by."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: Annotated[str, Meta(description="The path of the request.")]
    code: str
    errors: (
        Annotated[
            list[FieldError], Meta(description="Of `invalid-fields`: all that is wrong, up to 100.")
        ]
        | UnsetType
    ) = UNSET
    parameter: (
        Annotated[str, Meta(description="Of `invalid-parameter`: which, if it is about one.")]
        | UnsetType
    ) = UNSET
    error: (
        Annotated[JobError | None, Meta(description="Of `job-failed` and the like: the job's own.")]
        | UnsetType
    ) = UNSET
    violated_policies: (
        Annotated[
            list[str],
            Meta(description="Of `rate-limited` and `quota-exceeded`: which limit it was."),
        ]
        | UnsetType
    ) = UNSET


def problems_of(operation: Operation, *, guarded: bool, dev: bool) -> dict[int, dict[str, Any]]:
    """By status, what a call can be refused with: `{"codes": […], "headers": […]}`."""
    refusals = [*_ANY, *operation.problems]
    refusals += [  # as `web/app.py` tells of what was there
        Gone(missing.what, "")
        for missing in operation.problems
        if isinstance(missing, NotFound) and missing.what in {"job", "delivery"}
    ]
    if guarded:
        refusals += _WITH_KEY
    elif dev:
        refusals += (Forbidden,)
    if operation.body is not None or operation.takes_no_body:
        refusals += _WITH_BODY
    codes: defaultdict[int, dict[str, None]] = defaultdict(dict)
    headers: defaultdict[int, set[str]] = defaultdict(set)
    for refusal in refusals:
        if isinstance(refusal, tuple):
            status, code = refusal
        else:
            status, code, names = told(refusal)
            headers[status] |= names - {"Connection"}
        codes[status][code] = None
    if any("RateLimit" in answer.headers for answer in operation.answers):
        for status in codes:
            headers[status] |= set(RATE)
    return {
        status: {"codes": sorted(codes[status]), "headers": sorted(headers[status])}
        for status in sorted(codes)
    }


def problem_schema(status: int, codes: list[str]) -> Schema:
    """A problem of a status, with the codes that it may have."""
    return {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
        ]
    }


MEDIA: Final = PROBLEM_JSON
