"""A small HTTP client of the service, for the command line.

The standard library's, so that a command starts at once. It follows no redirect and uses no proxy
from the environment: an API key goes to the address that it was meant for and nowhere else.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from dispatcher.core.errors import DispatcherError, SettingsError
from dispatcher.core.retry import parse_retry_after

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
_SUCCESS: Final = range(200, 300)
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class Unreachable(DispatcherError):
    """No answer came: nothing listens there, the connection broke, or it took too long.

    Whether the request was carried out is unknown.
    """


class Refused(DispatcherError):
    """The service answered that it won't: its problem (RFC 9457), told in one line.

    `status` is the HTTP status, `code` the problem's stable word, `again` whether the same request
    may succeed later, and `retry_after_seconds` when, if the service said so.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None) -> None:
        super().__init__(_told(status, problem))
        self.status = status
        self.code = str(problem.get("code", ""))
        self.again = status in _TRY_AGAIN
        self.retry_after_seconds = retry_after


def _told(status: int, problem: Mapping[str, Any]) -> str:
    head = problem.get("detail") or problem.get("title") or http.client.responses.get(status, "")
    errors = problem.get("errors")
    faults = [
        f"{each.get('pointer') or 'body'}: {each.get('detail')}"
        for each in (errors if isinstance(errors, list) else [])
        if isinstance(each, Mapping)
    ]
    code = problem.get("code")
    return f"{status}{f' {code}' if code else ''}: {'; '.join(faults) or head}"


class Answer(Struct, frozen=True):
    """A 2xx answer. `body` is the JSON as it came; header names are in lower case."""

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
        return _retry_after(self.headers)


class Service:
    """The service at a URL, called with an API key (None: without, as in `--dev`)."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Raises `SettingsError` if `url` is no http or https URL, or the key can't be a header."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in {"http", "https"} or parts.query or "@" in parts.netloc:
            raise SettingsError(
                f"DISPATCHER_URL must be the address of the service, such as {DEFAULT_URL}"
            )
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise SettingsError("DISPATCHER_API_KEY has characters that no API key has")
        self.url = url.rstrip("/")
        self._host = host
        self._port = port
        self._secure = parts.scheme == "https"
        self._path = parts.path.rstrip("/")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Make a request; `path` begins with a slash and is encoded already.

        Raises:
            Refused: the answer is not a 2xx.
            Unreachable: none came.
        """
        sent = dict(headers)
        if self._api_key:
            sent["authorization"] = f"Bearer {self._api_key}"
        if body is not None:
            sent["content-type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, self._path + path, body=body, headers=sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self._why(error)) from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        if response.status not in _SUCCESS:
            raise Refused(response.status, _problem(content), _retry_after(found))
        return Answer(response.status, found, content)

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._timeout_seconds,
                context=ssl.create_default_context(),
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)

    def _why(self, error: Exception) -> str:
        if isinstance(error, ConnectionRefusedError):
            return f"nothing listens at {self.url}: start `dispatcher serve`, or set DISPATCHER_URL"
        if isinstance(error, TimeoutError):
            return f"{self.url} did not answer within {self._timeout_seconds:g} s"
        if isinstance(error, ssl.SSLError):
            return f"{self.url}: TLS failed: {error.reason or error}"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{self.url}: no answer came: {reason}"


def _problem(content: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    now = time.time_ns() // 1_000_000
    at = parse_retry_after(headers.get("retry-after", ""), now)
    return None if at is None else (at - now) / 1000
