"""The headers of answers, each described once."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Request-Id": {
        "description": "The id of the request, the caller's own if it sent a good one. The log of "
        "the service has it too.",
        "schema": _TEXT,
    },
    "Location": {"description": "The path of what was made or is to be watched.", "schema": _TEXT},
    "ETag": {
        "description": "Of what is shown; send it back as `If-None-Match`.",
        "schema": _TEXT,
    },
    "Retry-After": {
        "description": "The seconds after which to ask again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Idempotency-Replayed": {
        "description": "`true`: the submission was made before with this `Idempotency-Key`, and "
        "the job is that one.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": 'With `rel="next"` the URL of the next page, while there is one (RFC 8288).',
        "schema": _TEXT,
    },
    "RateLimit-Policy": {
        "description": "What the caller's rate allows, if it has one: "
        '`"submissions";q=600;w=60` is 600 in 60 seconds '
        "(draft-ietf-httpapi-ratelimit-headers-10).",
        "schema": _TEXT,
    },
    "RateLimit": {
        "description": "How many are left, and in how many seconds there are more: "
        '`"submissions";r=598;t=1`.',
        "schema": _TEXT,
    },
    "WWW-Authenticate": {"description": "How to say who calls (RFC 6750).", "schema": _TEXT},
    "Accept": {"description": "The media type that the call takes.", "schema": _TEXT},
    "Content-Location": {"description": "The path of the job that is shown.", "schema": _TEXT},
    "Preference-Applied": {
        "description": "What was done of `Prefer` (RFC 7240): `wait=50`, if more was asked for.",
        "schema": _TEXT,
    },
    "Vary": {"description": "`Accept` decides between the list and the stream.", "schema": _TEXT},
    "X-Accel-Buffering": {
        "description": "`no`, with a stream: proxies are not to hold it back.",
        "schema": _TEXT,
    },
    "Cache-Control": {"description": "Whether and how long it may be kept.", "schema": _TEXT},
}
ALWAYS: Final = "Request-Id"
RATE: Final = ("RateLimit-Policy", "RateLimit")
