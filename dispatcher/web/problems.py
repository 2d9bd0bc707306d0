"""Errors as problems (RFC 9457): one table, for everything that can go wrong with a request."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dispatcher.core.errors import (
    DeliveriesOpen,
    DeliveriesSending,
    DeliveryPending,
    EndpointDeleted,
    EndpointDisabled,
    Forbidden,
    Gone,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    InvalidFields,
    InvalidHeader,
    InvalidParameter,
    JobNotDone,
    JobUnsuccessful,
    LeaseEnded,
    MalformedBody,
    NameTaken,
    NotFound,
    Overloaded,
    OverQuota,
    OverRate,
    QueueFull,
    RequestError,
    Stopping,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    TooMany,
    Unauthenticated,
)
from dispatcher.core.payload import encode
from dispatcher.core.ratelimit import POLICY_NAME
from dispatcher.web.faults import MAX_FAULTS
from dispatcher.web.refusals import (
    BadQuery,
    BodyTooLarge,
    BodyTooSlow,
    MetricsApart,
    NotAcceptable,
    ResultGone,
    ResultNotYet,
    StreamsFull,
    TooManyStreams,
    UnknownTransferCoding,
    WrongMediaType,
    WrongRole,
)

_log: Final = logging.getLogger("dispatcher.web")

PROBLEM_JSON: Final = "application/problem+json"
RETRY_SECONDS: Final = "1"

_ROOM: Final = {"Retry-After": "5"}  # what waits goes at its own pace: a moment is enough to ask
_RETRY: Final = {"Retry-After": RETRY_SECONDS}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="dispatcher"'}
_LAST: Final = {"Connection": "close"}

# The table: what was raised, the status, the headers. The first that fits counts.
_TABLE: Final[tuple[tuple[type[Exception], HTTPStatus, dict[str, str]], ...]] = (
    (MalformedBody, HTTPStatus.BAD_REQUEST, {}),
    (InvalidHeader, HTTPStatus.BAD_REQUEST, {}),
    (InvalidFields, HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    (InvalidParameter, HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    (IdempotencyKeyReused, HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED, _CHALLENGE),
    (Forbidden, HTTPStatus.FORBIDDEN, {}),
    (NotFound, HTTPStatus.NOT_FOUND, {}),
    (NotAcceptable, HTTPStatus.NOT_ACCEPTABLE, {}),
    (BodyTooSlow, HTTPStatus.REQUEST_TIMEOUT, _LAST),
    (DeliveryPending, HTTPStatus.CONFLICT, {}),
    (EndpointDisabled, HTTPStatus.CONFLICT, {}),
    (EndpointDeleted, HTTPStatus.CONFLICT, {}),
    (DeliveriesOpen, HTTPStatus.CONFLICT, {}),
    (DeliveriesSending, HTTPStatus.CONFLICT, _RETRY),
    (JobNotDone, HTTPStatus.CONFLICT, {}),
    (JobUnsuccessful, HTTPStatus.CONFLICT, {}),
    (LeaseEnded, HTTPStatus.CONFLICT, {}),
    (NameTaken, HTTPStatus.CONFLICT, {}),
    (TooMany, HTTPStatus.CONFLICT, {}),
    (Gone, HTTPStatus.GONE, {}),
    (IdempotencyKeySpent, HTTPStatus.GONE, {}),
    (OverRate, HTTPStatus.TOO_MANY_REQUESTS, {}),
    (OverQuota, HTTPStatus.TOO_MANY_REQUESTS, _ROOM),
    (ResultGone, HTTPStatus.GONE, {}),
    (BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _LAST),
    (WrongMediaType, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"Accept": "application/json"}),
    (TooManyStreams, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "30"}),
    (StreamsFull, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "30"}),
    (UnknownTransferCoding, HTTPStatus.NOT_IMPLEMENTED, _LAST),
    (MetricsApart, HTTPStatus.NOT_FOUND, {}),
    (WrongRole, HTTPStatus.MISDIRECTED_REQUEST, {}),
    (RequestError, HTTPStatus.BAD_REQUEST, {}),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY),
    (QueueFull, HTTPStatus.SERVICE_UNAVAILABLE, _ROOM),
    (Stopping, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY),
    (StoreCorrupt, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "60"}),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "60"}),
    (web.RequestPayloadError, HTTPStatus.BAD_REQUEST, _LAST),
    (HttpProcessingError, HTTPStatus.BAD_REQUEST, _LAST),
)

# What a caller hears where the error's own words are for operators, or are aiohttp's.
_OTHER_WORDS: Final[dict[type[Exception], tuple[str, str]]] = {
    Overloaded: ("overloaded", "Too many requests with a body are under way at once; try again."),
    QueueFull: (
        "queue-full",
        "As many jobs wait in this queue as may, of all callers; try again when some have begun.",
    ),
    Stopping: ("stopping", "The service is shutting down; try again."),
    StoreUnavailable: (
        "store-unavailable",
        "The store can't be used at the moment. Try again, with the same Idempotency-Key.",
    ),
    StoreCorrupt: ("store-broken", "The store needs an operator; `dispatcher check` says why."),
    StoreError: ("store-broken", "The store needs an operator; `dispatcher check` says why."),
    web.RequestPayloadError: ("malformed-request", "The body is not framed as HTTP/1.1 says."),
    HttpProcessingError: ("malformed-request", "The request is not HTTP/1.1."),
}
# These are no fault of the service, or an operator is told of them elsewhere and less often.
_QUIET: Final = (
    RequestError,
    Overloaded,
    QueueFull,
    Stopping,
    StoreUnavailable,
    web.RequestPayloadError,
)

# aiohttp's own refusals: their codes, and what a person can do about them.
_OF_AIOHTTP: Final[dict[int, tuple[str, str]]] = {
    404: ("not-found", "There is nothing at this path."),
    405: (
        "method-not-allowed",
        "This path does not take the method; the header Allow says which it takes.",
    ),
    413: ("body-too-large", "The body is too large."),
    417: ("expectation-failed", "The only expectation that can be met is 100-continue."),
}
# draft-ietf-httpapi-ratelimit-headers-10: a problem type of its own, with its title.
_QUOTA_EXCEEDED: Final[dict[str, Any]] = {
    "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
    "title": "Request cannot be satisfied as assigned quota has been exceeded",
}
_NOT_A_WORD: Final = re.compile("[^a-z]+")
_UNPRINTABLE: Final = re.compile("[^ -~]+")
_DETAIL_CHARACTERS: Final = 300


def problem(
    status: int,
    code: str,
    detail: str,
    instance: str,
    *,
    headers: dict[str, str] | None = None,
    more: dict[str, Any] | None = None,
) -> web.Response:
    """A problem as an answer. `code` is a stable word, `instance` the path of the request."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    members = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
    }
    answer_headers = {"Content-Type": PROBLEM_JSON}
    if headers:
        answer_headers.update(headers)
    answer = web.Response(
        status=status, body=encode(members | (more or {})), headers=answer_headers
    )
    if "Connection" in answer_headers:  # the header alone does not make aiohttp close it
        answer.force_close()
    return answer


def problem_of(error: Exception, instance: str, request_id: str) -> web.Response:
    """The problem that tells of `error`.

    One that nobody foresaw is a 500 without details; the log has them, with the request's id.
    """
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error, instance)
    row = next((row for row in _TABLE if isinstance(error, row[0])), None)
    if row is None:
        _log.error(
            "unexpected error in request %s to %s",
            request_id,
            instance,
            exc_info=error,
            extra={"request_id": request_id},
        )
        return problem(
            500,
            "internal-error",
            f"Something went wrong here. Tell the operator this id: {request_id}",
            instance,
        )
    kind, status, headers = row
    if not isinstance(error, _QUIET):
        told = {"request_id": request_id}
        _log.error("request %s to %s: %s", request_id, instance, error, extra=told)
    if isinstance(error, ResultNotYet | OverRate):
        headers = {"Retry-After": str(error.retry_seconds)}
    code, detail = _OTHER_WORDS.get(kind) or (getattr(error, "code", "bad-request"), str(error))
    return problem(
        status, code, detail or status.description, instance, headers=headers, more=_more(error)
    )


def told(error: type[Exception] | Exception) -> tuple[int, str, frozenset[str]]:
    """The status, code and names of headers that an error is told with, for the description.

    An instance where the code depends on what it says.
    """
    kind = error if isinstance(error, type) else type(error)
    row, status, headers = next(row for row in _TABLE if issubclass(kind, row[0]))
    names = frozenset(headers)
    if issubclass(kind, ResultNotYet | OverRate):
        names |= {"Retry-After"}
    words = _OTHER_WORDS.get(row)
    return status, words[0] if words else error.code, names  # type: ignore[union-attr]  # all others of the table have a code


def malformed(status: int, reason: str, instance: str) -> web.Response:
    """The problem for what the HTTP parser refused; `reason` is the first line it said."""
    said = _UNPRINTABLE.sub("?", reason.partition("\n")[0])[:_DETAIL_CHARACTERS].rstrip(" :")
    detail = f"The request is not HTTP/1.1: {said}" if said else "The request is not HTTP/1.1."
    return problem(status, "malformed-request", detail, instance, headers=_LAST)


def _more(error: Exception) -> dict[str, Any]:
    """The members that an error has besides those of every problem."""
    match error:
        case InvalidFields(errors=errors):
            return {"detail": _sum_up(len(errors)), "errors": errors}
        case BadQuery(parameter=parameter):
            return {"parameter": parameter}
        case OverRate():
            return _QUOTA_EXCEEDED | {"violated-policies": [POLICY_NAME]}
        case OverQuota(limit=limit):
            return _QUOTA_EXCEEDED | {"violated-policies": [limit]}
        case JobUnsuccessful(error=why):
            return {"error": why}
        case _:
            return {}


def _sum_up(count: int) -> str:
    more = " or more" if count >= MAX_FAULTS else ""
    found = "One thing is wrong" if count == 1 else f"{count} things{more} are wrong"
    return f"{found} with the body; `errors` says what and where."


def _of_aiohttp(error: web.HTTPException, instance: str) -> web.Response:
    phrase = HTTPStatus(error.status).phrase
    word = _NOT_A_WORD.sub("-", phrase.lower()).strip("-")
    code, detail = _OF_AIOHTTP.get(error.status, (word, f"{phrase}."))
    headers = {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return problem(error.status, code, detail, instance, headers=headers)
