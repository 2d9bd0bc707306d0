"""`Prefer` and `Preference-Applied` (RFC 7240), as pure functions of their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

MOST_WAIT_SECONDS: Final = 50
"""An answer is held no longer than this, whatever is asked: proxies give up after a minute."""

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD: Final = rf'{_NAME}|"(?:[^"\\]|\\.)*"'
_SPACE: Final = "[ \t]*"
# RFC 7240, 2: preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] )
_PART: Final = re.compile(
    rf"{_SPACE}(?P<name>{_NAME})(?:{_SPACE}={_SPACE}(?P<value>{_WORD})?)?{_SPACE}"
)
_EMPTY_PART: Final = re.compile(_SPACE)
_ESCAPED: Final = re.compile(r"\\(.)")
_SECONDS: Final = re.compile("[0-9]+", re.ASCII)
_WORDS_WITHOUT_CASE: Final = frozenset({"handling", "return"})
_MOST_PREFERENCES: Final = 50


class Preference(Struct, frozen=True):
    """A preference's value, None without one or with an empty one, and its parameters."""

    value: str | None
    params: dict[str, str | None]


def parse_prefer(values: Sequence[str]) -> dict[str, Preference]:
    """What the fields `Prefer` say, by name in lower case; of a name that comes again the first.

    Whatever can't be read is left out, up to the next comma: a preference is never an error
    (RFC 7240, 2). An empty value is the same as none.
    """
    found: dict[str, Preference] = {}
    for text in values:
        for parts in _split(text):
            preference = _preference(parts)
            if preference is not None and len(found) < _MOST_PREFERENCES:
                found.setdefault(preference[0], preference[1])
    return found


def _split(text: str) -> list[list[str]]:
    """The text at its commas, each part at its semicolons, but for those in quotes."""
    parts: list[list[str]] = [[""]]
    quoted = escaped = False
    for each in text:
        if quoted:
            quoted = escaped or each != '"'
            escaped = each == "\\" and not escaped
        elif each == ",":
            parts.append([""])
            continue
        elif each == ";":
            parts[-1].append("")
            continue
        elif each == '"':
            quoted = True
        parts[-1][-1] += each
    return parts


def _preference(parts: list[str]) -> tuple[str, Preference] | None:
    """A preference with its parameters; None: it is empty or can't be read."""
    head = _PART.fullmatch(parts[0])
    if head is None:
        return None
    name = head["name"].lower()
    value = _word(head["value"])
    params: dict[str, str | None] = {}
    for part in parts[1:]:
        match = _PART.fullmatch(part)
        if match is not None:
            params.setdefault(match["name"].lower(), _word(match["value"]))
        elif not _EMPTY_PART.fullmatch(part):
            return None
    if value is not None and name in _WORDS_WITHOUT_CASE:
        value = value.lower()
    return name, Preference(value, params)


def _word(text: str | None) -> str | None:
    if text is None or text == '""':
        return None
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text


class Wishes(Struct, frozen=True):
    """What of `Prefer` is known here. `wait` in seconds, as it will be done; None: not asked.

    `no_place`: it was asked for, and is left out.
    """

    respond_async: bool = False
    wait: int | None = None
    no_place: bool = False

    def applied(self, *, accepted: bool = False) -> str:
        """`Preference-Applied` (RFC 7240, 3); empty: nothing was. `accepted`: the answer is 202."""
        names = ["respond-async"] if self.respond_async and accepted else []
        if self.wait is not None:
            names.append(f"wait={self.wait}")
        return ", ".join(names)


NO_WISHES: Final = Wishes()


def read_wishes(values: Sequence[str]) -> Wishes:
    """`respond-async` and `wait` (RFC 7240, 4.1 and 4.3).

    `wait` is delta-seconds; another is ignored, more than `MOST_WAIT_SECONDS` is so many.
    """
    if not values:
        return NO_WISHES
    found = parse_prefer(values)
    wait = found.get("wait")
    seconds = None
    if wait is not None and wait.value is not None and _SECONDS.fullmatch(wait.value):
        digits = wait.value.lstrip("0") or "0"
        seconds = MOST_WAIT_SECONDS if len(digits) > 3 else min(int(digits), MOST_WAIT_SECONDS)  # noqa: PLR2004  # more digits than any wait has
    return Wishes("respond-async" in found, seconds)
