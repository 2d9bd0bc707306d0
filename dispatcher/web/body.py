"""Reading request bodies: bounded in size and time, and only of the right kind."""

from __future__ import annotations

import asyncio
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec
from aiohttp import HttpVersion11, web

from dispatcher.core.errors import InvalidFields, MalformedBody, Overloaded
from dispatcher.core.limits import Limits
from dispatcher.engine.waiters import Places
from dispatcher.web.faults import find_faults, whole_numbers
from dispatcher.web.headers import is_json
from dispatcher.web.refusals import PUT_ELSEWHERE, BodyTooLarge, BodyTooSlow, WrongMediaType
from dispatcher.web.strict_json import check_json
from dispatcher.web.wire import NoBody

Body = TypeVar("Body", bound=msgspec.Struct)

_BYTE: Final = re.compile(r" \(byte \d+\)")
_SECONDS: Final = 30.0
"""How long a body may take to come: a caller that drips must not hold a connection for ever."""

NOTHING_BYTES: Final = 256
"""What a call that takes no body reads at most: an empty object, with space around it."""

BODIES: Final = web.AppKey("bodies", Places)
"""The places of bodies that are still coming, of all calls together. They bound memory."""

SENDER: Final = web.RequestKey("sender", str)
"""Which caller's place a body takes; those without a key share one caller's."""


def body_places(limits: Limits) -> Places:
    """As many as submissions may be under way; a quarter for each caller, as there."""
    return Places(limits.submissions_at_once, max(limits.submissions_at_once // 4, 1))


async def read_json(request: web.Request, limits: Limits, most: int | None = None) -> bytes:
    """The bytes of a JSON body that `check_json` passed; `most`, unless it is as the limits say.

    Raises:
        WrongMediaType: it is not `application/json`, or compressed.
        BodyTooLarge, BodyTooSlow, MalformedBody, InvalidFields, Overloaded.
    """
    _check_media_type(request)
    body = await read_bytes(request, limits.body_bytes if most is None else most)
    check_json(body, limits.body_depth)
    return body


async def read_as(request: web.Request, limits: Limits, kind: type[Body]) -> Body:
    """A JSON body as a value of `kind`.

    Raises:
        InvalidFields: it does not fit; with all its faults. And as `read_json`.
    """
    body = await read_json(request, limits)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        good, faults = find_faults(whole_numbers(body, kind), kind)
        if isinstance(good, kind):
            return good
        raise InvalidFields(tuple(faults)) from None
    except msgspec.DecodeError as error:
        raise not_json(error, body) from None


async def read_nothing(request: web.Request, limits: Limits) -> None:
    """Of a call that takes no body: pass nothing, or an empty object.

    Raises:
        InvalidFields: there is something in it; and as `read_json`.
    """
    if not request.body_exists:
        return
    most = min(limits.body_bytes, NOTHING_BYTES)
    advice = "This call takes none, or an empty object."
    body = await read_bytes(request, most, advice)
    if not body.strip():
        return
    _check_media_type(request)
    check_json(body, limits.body_depth)
    try:
        _, faults = find_faults(body, NoBody)
    except msgspec.DecodeError as error:
        raise not_json(error, body) from None
    if faults:
        raise InvalidFields(tuple(faults))


def _check_media_type(request: web.Request) -> None:
    headers = request.headers
    if not is_json(headers.get("Content-Type")):
        raise WrongMediaType("Send the body as JSON in UTF-8, with Content-Type: application/json.")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMediaType("Send the body as it is, without Content-Encoding.")


def not_json(error: msgspec.DecodeError, body: bytes) -> MalformedBody:
    """What to tell when the decoder refused the body as no JSON."""
    if not body.strip():
        return MalformedBody("The body is empty: send JSON.")
    if body.startswith(BOM_UTF8):  # which nobody sees
        return MalformedBody(
            "The body begins with a byte order mark, which JSON must not (RFC 8259, 8.1): leave "
            "out its first three bytes."
        )
    reason = str(error).removeprefix("JSON is malformed: ")
    # Of half a surrogate pair at the end of a text the decoder may say that the body breaks off.
    if "surrogate" in reason or ("truncated" in reason and _is_whole(body)):
        where = _BYTE.search(reason)
        return MalformedBody(
            "A text of the body has half of a surrogate pair, as \\ud800 without its other half, "
            "which is no character (RFC 8259, 8.2): send whole characters"
            f"{where[0] if where else ''}."
        )
    return MalformedBody(f"The body is not JSON: {reason}.")


def _is_whole(body: bytes) -> bool:
    """Whether it is JSON for a decoder that takes surrogates as they come, as Python's does."""
    try:
        json.loads(body.decode(), parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        return False
    return True


async def read_bytes(request: web.Request, limit: int, advice: str = PUT_ELSEWHERE) -> bytes:
    """The body as it came. One that did not come with its head has a place until it is whole.

    `advice` is what to do about one that is too large.

    Raises:
        Overloaded: there is no place for it; it is neither asked for nor read.
        BodyTooLarge: it has more than `limit` bytes; not more than that is read.
        BodyTooSlow: it did not come within half a minute.
        MalformedBody: it never came whole.
    """
    length = request.content_length
    if length is not None and length > limit:
        raise BodyTooLarge(limit, advice)
    if request.content.is_eof():  # a small body comes with its head: it need not be waited for
        await _ask_for_it(request)
        whole = request.content.read_nowait()
        if len(whole) > limit:
            raise BodyTooLarge(limit, advice)
        return whole
    with _place(request):
        await _ask_for_it(request)
        return await _read_what_comes(request, limit, advice)


@contextmanager
def _place(request: web.Request) -> Iterator[None]:
    places, sender = request.app[BODIES], request.get(SENDER, "")
    if not places.take(sender):
        raise Overloaded("too many bodies are being read")
    try:
        yield
    finally:
        places.give(sender)


async def _ask_for_it(request: web.Request) -> None:
    # Who waits to be asked for it is; there is nothing of the kind in HTTP/1.0 (RFC 9110, 10.1.1).
    if "Expect" in request.headers and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


async def _read_what_comes(request: web.Request, limit: int, advice: str) -> bytes:
    chunks = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            while chunk := await request.content.readany():
                chunks += chunk
                if len(chunks) > limit:
                    raise BodyTooLarge(limit, advice)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not come within {_SECONDS:g} seconds.") from None
    except ConnectionError:  # nobody is left to hear it
        raise MalformedBody("The connection ended before the body did.") from None
    return bytes(chunks)
