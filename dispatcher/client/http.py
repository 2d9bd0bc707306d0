"""The transport of the command line: the standard library's, so that a command starts at once.

It follows no redirect and uses no proxy from the environment: an API key goes to the address that
it was meant for and nowhere else.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence

from dispatcher.client.answers import (
    DEFAULT_TIMEOUT_SECONDS,
    DEFAULT_URL,
    Address,
    Answer,
    checked,
)
from dispatcher.client.errors import Refused, Unreachable

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "DEFAULT_URL", "Answer", "Refused", "Service", "Unreachable"]


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
        self._address = Address.parse(url, api_key)
        self.url = self._address.url
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
            Refused: the answer is neither a 2xx nor a 304.
            Unreachable: none came.
        """
        sent = dict(headers)
        if self._address.api_key:
            sent["authorization"] = f"Bearer {self._address.api_key}"
        if body is not None:
            sent["content-type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, self._address.path + path, body=body, headers=sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self._why(error)) from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return checked(response.status, found, content)

    def _connection(self) -> http.client.HTTPConnection:
        host, port, seconds = self._address.host, self._address.port, self._timeout_seconds
        if self._address.secure:
            return http.client.HTTPSConnection(
                host, port, timeout=seconds, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _why(self, error: Exception) -> str:
        if isinstance(error, ConnectionRefusedError):
            return f"nothing listens at {self.url}: start `dispatcher serve`, or set DISPATCHER_URL"
        if isinstance(error, TimeoutError):
            return f"{self.url} did not answer within {self._timeout_seconds:g} s"
        if isinstance(error, ssl.SSLError):
            return f"{self.url}: TLS failed: {error.reason or error}"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{self.url}: no answer came: {reason}"
