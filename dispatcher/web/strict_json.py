"""What is checked of a body before it is decoded: UTF-8, how deep it is nested, and NUL.

Decoders recurse, and differ over what they let pass inside values that they only skip.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from dispatcher.core.errors import FieldError, InvalidFields, MalformedBody
from dispatcher.core.submission import pointer
from dispatcher.web.faults import MAX_FAULTS

# Possessive, so that no text makes it go back.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TOKEN: Final = re.compile(
    rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:|"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]}]'
)
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS: Final = bytes(each for each in range(256) if each not in b"[]{}")
_TOKENS_LOOKED_AT: Final = 100_000


def check_json(body: bytes, max_depth: int) -> None:
    """Pass a body that may be decoded; that it is JSON at all is the decoder's to say.

    Raises:
        MalformedBody: not UTF-8 (RFC 8259, 8.1), or its brackets don't match.
        InvalidFields: nested deeper than `max_depth`, the outermost value counted, or a text with
            NUL, which not every store and no C program can hold.
    """
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8 (byte {error.start}).") from None
    # Fewer opening brackets than that can't be nested deeper, wherever they stand.
    if body.count(b"[") + body.count(b"{") > max_depth:
        _check_depth(body, max_depth)
    if b"\\u0000" in body and (faults := _nul_faults(body)):
        raise InvalidFields(faults)


def _check_depth(body: bytes, max_depth: int) -> None:
    # Once its strings and all but brackets are gone, a body that is nested n deep has vanished
    # after n rounds, each of which takes the innermost pairs: a few passes in C, however hostile.
    brackets = _STRING.sub(b"", body).translate(_TO_SQUARE, _ALL_BUT_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")
    if not brackets:
        return
    # What is left is deeper, or does not match: in a row like `]]][[[[` the opening ones are open.
    if b"[]" in brackets or brackets.count(b"[") > max_depth:
        raise InvalidFields(
            (
                FieldError(
                    _deep_pointer(body, max_depth),
                    "too-deep",
                    f"A body is nested at most {max_depth} deep.",
                ),
            )
        )
    raise MalformedBody("The body is not JSON: its brackets don't match.")


def _deep_pointer(body: bytes, max_depth: int) -> str:
    """A pointer to the member of the body that is nested too deep; to the body if in doubt."""
    depth = 0
    member = b""
    for match in itertools.islice(_TOKEN.finditer(body), _TOKENS_LOOKED_AT):
        if match[1]:
            if depth == 1:
                member = match[1]
        elif match[0] in b"[{":
            depth += 1
            if depth > max_depth:
                break
        elif match[0] in b"]}":
            depth -= 1
    try:
        name = json.loads(member)
    except ValueError:
        return ""
    return pointer(name)


def _nul_faults(body: bytes) -> tuple[FieldError, ...]:
    try:
        # Numbers stay texts: whether they fit is not asked here.
        value = json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        return ()  # not JSON: the decoder will say so
    return tuple(
        FieldError(at, "nul-character", "A text must not contain NUL (\\u0000).")
        for at in itertools.islice(_with_nul(value, ()), MAX_FAULTS)
    )


def _with_nul(value: Any, at: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield pointer(*at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _with_nul(item, (*at, index))
    elif isinstance(value, dict):
        for name, member in value.items():
            if "\0" in name:
                yield pointer(*at, name)
            yield from _with_nul(member, (*at, name))
