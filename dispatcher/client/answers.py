"""What both transports share: the service's address, its answers, and how long to be patient."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from dispatcher.client.errors import Refused, Unreachable, refusal
from dispatcher.core.errors import SettingsError
from dispatcher.core.retry import parse_retry_after

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
_SUCCESS: Final = range(200, 300)
UNCHANGED: Final = 304
"""The status of an answer without a body: it is as `If-None-Match` says."""

HELD_SECONDS: Final = 45
"""How long an answer is asked to be held: less than proxies bear, and than the service's cap."""

QUICK_SECONDS: Final = 1.0
"""An answer that was held, came sooner and tells nothing new: the service is about to stop."""


class Address(Struct, frozen=True):
    """Where the service is, and the key to call it with (None: without, as in `--dev`)."""

    url: str
    host: str
    port: int | None
    secure: bool
    path: str
    api_key: str | None

    @classmethod
    def parse(cls, url: str, api_key: str | None) -> Address:
        """Raises `SettingsError` if `url` is no http or https URL, or the key can't be a header."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        cut = {"?", "#"} & set(url)  # behind these the path of a call would be none
        if not host or cut or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
            raise SettingsError(
                "the URL of the service (--url, else DISPATCHER_URL) must be one such as "
                f"{DEFAULT_URL}"
            )
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise SettingsError("DISPATCHER_API_KEY has characters that no API key has")
        secure = parts.scheme == "https"
        return cls(url.rstrip("/"), host, port, secure, parts.path.rstrip("/"), api_key)


class Answer(Struct, frozen=True):
    """An answer that is as it should be. `body` is as it came; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded; raises `Unreachable` if it is not JSON (not our service)."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, ValueError):
            raise Unreachable(
                "the answer is not JSON: is that the dispatcher? Check DISPATCHER_URL"
            ) from None

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the service asks to wait before the next look, if it does."""
        return retry_after(self.headers)

    @property
    def waited(self) -> bool:
        """Whether the service did hold the answer (`Preference-Applied`, RFC 7240, 3)."""
        applied = self.headers.get("preference-applied", "").split(",")
        return any(each.partition("=")[0].strip().lower() == "wait" for each in applied)


def checked(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer if it is a 2xx or a 304; else raises `Refused`."""
    if status in _SUCCESS or status == UNCHANGED:
        return Answer(status, headers, body)
    raise refused(status, headers, body)


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """What an answer says that is no 2xx."""
    return refusal(status, _problem(body), retry_after(headers), headers.get("request-id"))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` names (RFC 9110, 10.2.3), if it does."""
    now = time.time_ns() // 1_000_000
    at = parse_retry_after(headers.get("retry-after", ""), now)
    return None if at is None else (at - now) / 1000


def _problem(content: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Patience(Struct, frozen=True):
    """How often, and how far apart, a request is tried that got no answer, or a 429, 502, 503, 504.

    `tries` in all; `first_seconds` before the second, then twice as long each time, up to
    `longest_seconds`, of which chance takes up to a half away. A `Retry-After` is kept instead;
    one beyond `longest_seconds` ends the trying, and one of 0 is none: with it, or a date by a
    clock that is behind, all tries would be over in a moment.
    """

    tries: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def pause(self, failed: int, wish: float | None, unit: float) -> float | None:
        """The seconds before the next try, after `failed` ones; None: no more.

        `wish` is what the service asked for, `unit` chance in [0, 1).
        """
        if failed >= self.tries:
            return None
        if not wish:
            pause = min(self.first_seconds * 2.0 ** (failed - 1), self.longest_seconds)
            return pause * (1 - unit / 2)
        if wish > self.longest_seconds:
            return None
        return wish * (1 + unit / 10)  # not all who were sent away at once come back at once


class Pace:
    """How far apart looks lie that nobody holds: close together at first, for short jobs.

    The service's `Retry-After` says how far apart they come to lie.
    """

    FIRST_SECONDS: Final = 0.05
    GROWS: Final = 1.5
    LONGEST_SECONDS: Final = 30.0

    def __init__(self) -> None:
        self._next = self.FIRST_SECONDS

    def again(self) -> None:
        """Begin anew: something has happened."""
        self._next = self.FIRST_SECONDS

    def pause(self, wish: float | None = None) -> float:
        """The seconds until the next look."""
        longest = self.LONGEST_SECONDS if wish is None else max(wish, self.FIRST_SECONDS)
        pause = min(self._next, longest, self.LONGEST_SECONDS)
        self._next = pause * self.GROWS
        return pause
