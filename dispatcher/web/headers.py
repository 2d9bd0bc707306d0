"""Request headers: what they mean, as pure functions of their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from dispatcher.core.errors import InvalidHeader
from dispatcher.core.limits import Limits
from dispatcher.core.model import Trace
from dispatcher.core.submission import is_visible
from dispatcher.web.refusals import UnknownTransferCoding

# --- Request-Id --------------------------------------------------------------------------------

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


def sane_request_id(text: str | None) -> str | None:
    """The caller's own Request-Id if it may be repeated in answers and logs as it is, or None."""
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None


# --- Idempotency-Key ---------------------------------------------------------------------------

# RFC 8941, 3.3: an Item that is a String, with Parameters that mean nothing here.
_SF_STRING: Final = re.compile(
    r'"(?P<text>(?:[ !#-\[\]-~]|\\["\\])*)"'
    r'(?:[ ]*;[ ]*[a-z*][a-z0-9_.*-]*(?:=(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[^;",\s\\]+))?)*'
)
# Bare, as many clients send it: a UUID, a word. Nothing that a structured field could mean by it.
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+=@~-]*")
_ESCAPED: Final = re.compile(r'\\(["\\])')


def parse_idempotency_key(values: Sequence[str], limits: Limits) -> str | None:
    """The key of `Idempotency-Key`; None without the header.

    As draft-ietf-httpapi-idempotency-key-header-06 (2.1) has it, a quoted string, or bare.

    Raises:
        InvalidHeader: several, empty, too long or malformed.
    """
    if not values:
        return None
    text = values[0].strip(" \t")
    if len(values) == 1:
        if match := _SF_STRING.fullmatch(text):
            key = _ESCAPED.sub(r"\1", match["text"])
        else:
            key = text if _BARE_KEY.fullmatch(text) else ""
        if is_visible(key, limits):
            return key
    raise InvalidHeader(
        "Idempotency-Key must be one quoted string of 1 to "
        f'{limits.text_characters} visible ASCII characters, such as "8e03978e-40d5-43e8".'
    )


# --- Trace Context -----------------------------------------------------------------------------

_TRACEPARENT: Final = re.compile(
    "(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    "-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_NO_TRACE: Final = "0" * 32
_NO_PARENT: Final = "0" * 16
_KNOWN_FLAGS: Final = 0x03  # sampled, and random of level 2; unknown ones are sent as 0
_TRACESTATE_MEMBER: Final = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_*/@-]{0,255})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_TRACESTATE_MEMBERS: Final = 32
_TRACESTATE_CHARACTERS: Final = 512


def parse_trace(traceparents: Sequence[str], tracestates: Sequence[str]) -> Trace | None:
    """The trace that the caller is in; None: there is none, or it can't be understood.

    W3C Trace Context level 2, 3.2 and 3.3. A later version is read as far as this one goes and
    passed on as this one (4.3). A bad tracestate does not spoil the traceparent.
    """
    if len(traceparents) != 1:
        return None
    match = _TRACEPARENT.fullmatch(traceparents[0].strip(" \t"))
    if match is None or match["trace"] == _NO_TRACE or match["parent"] == _NO_PARENT:
        return None
    version = match["version"]
    if version == "ff" or (version == "00" and match["more"] is not None):
        return None
    flags = int(match["flags"], 16) & _KNOWN_FLAGS
    return Trace(f"00-{match['trace']}-{match['parent']}-{flags:02x}", _tracestate(tracestates))


def _tracestate(values: Sequence[str]) -> str | None:
    """The list as one field; None: there is none, or something in it is wrong.

    Of a long one whole members are left out from the end: 512 characters are always kept (3.3.1.5).
    """
    members: dict[str, str] = {}
    for each in ",".join(values).split(","):
        member = each.strip(" \t")
        if not member:
            continue
        match = _TRACESTATE_MEMBER.fullmatch(member)
        if match is None or match["key"] in members or len(members) == _TRACESTATE_MEMBERS:
            return None
        members[match["key"]] = member
    kept = list(members.values())
    while kept and sum(map(len, kept)) + len(kept) - 1 > _TRACESTATE_CHARACTERS:
        kept.pop()
    return ",".join(kept) or None


# --- Transfer-Encoding -------------------------------------------------------------------------


def check_transfer(values: Sequence[str]) -> None:
    """Pass `chunked` alone, in any case.

    The parser takes any list that ends with it, and would hand on what is still encoded.

    Raises:
        UnknownTransferCoding: there is another coding (RFC 9112, 6.1).
    """
    if len(values) != 1 or values[0].strip(" \t").lower() != "chunked":
        raise UnknownTransferCoding("The only Transfer-Encoding that is understood is chunked.")


# --- Conditions and media types ----------------------------------------------------------------

# RFC 9110, 8.8.3: opaque-tag.
_ENTITY_TAG: Final = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


def matches_etag(if_none_match: str, etag: str) -> bool:
    """Whether `If-None-Match` names the tag, by the weak comparison (RFC 9110, 13.1.2).

    Several fields of that name are one list (5.3); without one it is empty.
    """
    if if_none_match.strip() == "*":
        return True
    return etag in _ENTITY_TAG.findall(if_none_match)


class Form(StrEnum):
    """The forms that events come in."""

    JSON = "application/json"
    STREAM = "text/event-stream"


# RFC 9110, 12.4.2: qvalue.
_QVALUE: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def choose_form(accepts: Sequence[str]) -> Form | None:
    """The form of events that the fields `Accept` like best (RFC 9110, 12.5.1); None: neither.

    A stream only for whoever names it (`text/event-stream` or `text/*`), and likes it more than
    JSON or does not name JSON: everyone else is better served by a list that ends.
    """
    ranges = _media_ranges(",".join(accepts))
    if not ranges:
        return Form.JSON
    json, json_named = _quality(ranges, Form.JSON)
    stream, stream_named = _quality(ranges, Form.STREAM)
    if stream > 0 and stream_named and (stream > json or not json_named):
        return Form.STREAM
    if json > 0:
        return Form.JSON
    return Form.STREAM if stream > 0 else None


def _media_ranges(text: str) -> dict[str, float]:
    """The quality of each media range; parameters other than `q` are not told apart."""
    found: dict[str, float] = {}
    for each in text.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = float(value) if _QVALUE.fullmatch(value.strip()) else 0.0
        if name:
            found[name] = max(quality, found.get(name, 0.0))
    return found


def _quality(ranges: dict[str, float], form: Form) -> tuple[float, bool]:
    """How much a form is liked, by the most specific range; and whether by more than `*/*`."""
    for name in (form.value, form.value.partition("/")[0] + "/*"):
        if name in ranges:
            return ranges[name], True
    return ranges.get("*/*", 0.0), False


def is_json(content_type: str | None) -> bool:
    """Whether it says JSON in UTF-8: `application/json`, with no other charset than that."""
    if content_type is None:
        return False
    if content_type == "application/json":
        return True
    essence, _, parameters = content_type.partition(";")
    if essence.strip().lower() != "application/json":
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower() in {"utf-8", "utf8", "us-ascii"}
    return True
