"""Query parameters, cursors, and the pages of lists."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from dispatcher.core.errors import InvalidParameter, NotFound
from dispatcher.core.limits import ANY_PAGE_ITEMS, Limits
from dispatcher.core.model import Instant, JobStatus
from dispatcher.core.payload import encode
from dispatcher.core.submission import TIME_EXAMPLE, is_visible, parse_rfc3339
from dispatcher.web.refusals import BadQuery
from dispatcher.web.wire import NAME_PATTERN

_MOST_PARAMETERS: Final = 32
_NAME: Final = re.compile(NAME_PATTERN)
_CALLER_ID: Final = re.compile("clr_[0-9a-f]{32}")
_JOB_ID: Final = re.compile("job_[0-9a-f]{32}")
_ENDPOINT_ID: Final = re.compile("ep_[0-9a-f]{32}")
_URL: Final = re.compile("https?://[!-~]+")
_LIMIT: Final = re.compile("[0-9]{1,9}")

PAGE: Final = frozenset({"limit", "cursor"})

Word = TypeVar("Word", bound=StrEnum)


def read_query(request: web.Request, known: frozenset[str] = frozenset()) -> dict[str, str]:
    """The query's parameters by name.

    Raises:
        InvalidParameter: one is unknown, given twice, or can't be decoded.
    """
    _, mark, text = request.raw_path.partition("?")
    if not mark:
        return {}
    try:
        pairs = parse_qsl(
            text.partition("#")[0],
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise InvalidParameter(
            f"The query must have at most {_MOST_PARAMETERS} parameters, percent-encoded UTF-8."
        ) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise BadQuery(name, f"There is no query parameter {name!r} here; there are: {there}.")
        if name in found:
            raise BadQuery(name, f"The query parameter {name} is given twice.")
        found[name] = value
    return found


# --- Values ------------------------------------------------------------------------------------


def read_limit(query: Mapping[str, str], limits: Limits) -> int:
    """`limit`: 1 to 100 items, 20 without it (settings); a page has `page_items` at most."""
    text = query.get("limit")
    if text is None:
        return limits.default_page_items
    most = max(limits.page_items, ANY_PAGE_ITEMS)
    if _LIMIT.fullmatch(text) and 1 <= int(text) <= most:
        return min(int(text), limits.page_items)
    raise BadQuery("limit", f"limit must be 1 to {most}.")


def read_name(query: Mapping[str, str], parameter: str) -> str | None:
    """The name of a type or a queue."""
    text = query.get(parameter)
    if text is not None and not _NAME.fullmatch(text):
        raise BadQuery(
            parameter, f"{parameter} must be 1 to 100 of a-z, 0-9, dot, underscore and hyphen."
        )
    return text


def read_status(query: Mapping[str, str]) -> JobStatus | None:
    """`status`: one of a job's."""
    return read_word(query, "status", JobStatus)


def read_word(query: Mapping[str, str], parameter: str, words: type[Word]) -> Word | None:
    """One of a fixed set of words."""
    text = query.get(parameter)
    if text is None:
        return None
    try:
        return words(text)
    except ValueError:
        allowed = ", ".join(words)
        raise BadQuery(parameter, f"{parameter} must be one of: {allowed}.") from None


def read_words(
    query: Mapping[str, str], parameter: str, words: type[Word]
) -> frozenset[Word] | None:
    """Some of a fixed set of words, with commas between; None: the parameter is not there."""
    text = query.get(parameter)
    if text is None:
        return None
    try:
        return frozenset(words(each) for each in text.split(","))
    except ValueError:
        allowed = ", ".join(words)
        raise BadQuery(
            parameter, f"{parameter} must be some of these, with commas between: {allowed}."
        ) from None


def read_flag(query: Mapping[str, str], parameter: str) -> bool:
    """`true` or `false`; false without it."""
    text = query.get(parameter, "false")
    if text not in {"true", "false"}:
        raise BadQuery(parameter, f"{parameter} must be true or false.")
    return text == "true"


def read_text(query: Mapping[str, str], parameter: str, limits: Limits) -> str | None:
    """A text of visible ASCII."""
    text = query.get(parameter)
    if text is not None and not is_visible(text, limits):
        raise BadQuery(
            parameter,
            f"{parameter} must be 1 to {limits.text_characters} visible ASCII characters.",
        )
    return text


def read_caller_id(query: Mapping[str, str], parameter: str = "callerId") -> str | None:
    """`callerId`, or another that is the id of a caller."""
    return _read_id(query, parameter, _CALLER_ID, "a caller: clr_")


def read_job_id(query: Mapping[str, str]) -> str | None:
    """`jobId`: the id of a job."""
    return _read_id(query, "jobId", _JOB_ID, "a job: job_")


def read_job_path(request: web.Request) -> str:
    """The id in the path; one that can't be an id is no job's. Raises `NotFound`."""
    job_id = request.match_info["id"]
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound("job", job_id[:100])
    return job_id


def read_endpoint_id(query: Mapping[str, str]) -> str | None:
    """`endpointId`: the id of a registered endpoint."""
    return _read_id(query, "endpointId", _ENDPOINT_ID, "an endpoint: ep_")


def _read_id(
    query: Mapping[str, str], parameter: str, pattern: re.Pattern[str], whose: str
) -> str | None:
    text = query.get(parameter)
    if text is not None and not pattern.fullmatch(text):
        raise BadQuery(parameter, f"{parameter} must be the id of {whose} and 32 hex digits.")
    return text


def read_url(query: Mapping[str, str], limits: Limits) -> str | None:
    """`url`: a callback URL, as deliveries show it."""
    text = query.get("url")
    if text is not None and not (_URL.fullmatch(text) and len(text) <= limits.url_characters):
        raise BadQuery(
            "url",
            f"url must be a URL of at most {limits.url_characters} characters, percent-encoded as "
            "a query parameter.",
        )
    return text


def read_instant(query: Mapping[str, str], parameter: str) -> Instant | None:
    """A time; `+` in an offset must be written %2B."""
    text = query.get(parameter)
    if text is None:
        return None
    if (instant := parse_rfc3339(text)) is None:
        raise BadQuery(parameter, f"{parameter} must be {TIME_EXAMPLE}, percent-encoded.")
    return instant


# --- Cursors and pages -------------------------------------------------------------------------


class _NumberCursor(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a list goes on: `of` tells of which list, `at` is the store's sequence number."""

    of: str
    at: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _NameCursor(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a list that is ordered by name goes on."""

    of: str
    at: str


_Cursor = TypeVar("_Cursor", _NumberCursor, _NameCursor)


def _pack(cursor: _NumberCursor | _NameCursor) -> str:
    return urlsafe_b64encode(encode(cursor)).rstrip(b"=").decode("ascii")


def _unpack(query: Mapping[str, str], of: str, kind: type[_Cursor]) -> _Cursor | None:
    text = query.get("cursor")
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        cursor = msgspec.json.decode(urlsafe_b64decode(padded), type=kind)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        cursor = None
    if cursor is None or cursor.of != of:
        raise BadQuery("cursor", "This is no cursor of this list: take nextCursor as it was given.")
    return cursor


def read_cursor(query: Mapping[str, str], of: str) -> int | None:
    """The sequence number of a cursor of the list `of`; None: from the beginning.

    Raises:
        BadQuery: it is no cursor, or that of another list.
    """
    cursor = _unpack(query, of, _NumberCursor)
    return None if cursor is None else cursor.at


def number_cursor(of: str, at: int | None) -> str | None:
    """The cursor that `read_cursor` reads; None: the list has ended."""
    return None if at is None else _pack(_NumberCursor(of, at))


def read_name_cursor(query: Mapping[str, str], of: str) -> str | None:
    """The same for a list that is ordered by name."""
    cursor = _unpack(query, of, _NameCursor)
    return None if cursor is None else cursor.at


def name_cursor(of: str, at: str | None) -> str | None:
    """The cursor that `read_name_cursor` reads."""
    return None if at is None else _pack(_NameCursor(of, at))


def page(
    request: web.Request,
    public_url: str,
    query: Mapping[str, str],
    items: Sequence[Any],
    next_cursor: str | None,
    more: Mapping[str, Any] | None = None,
) -> web.Response:
    """A page of a list: `{items, nextCursor}` and `more`, with a `Link` to the next (RFC 8288)."""
    headers = {"Content-Type": "application/json"}
    if next_cursor is not None:
        again = urlencode({**query, "cursor": next_cursor})
        path = request.rel_url.raw_path
        headers["Link"] = f'<{public_url}{path}?{again}>; rel="next"'
    members = {"items": items, "nextCursor": next_cursor, **(more or {})}
    return web.Response(body=encode(members), headers=headers)
