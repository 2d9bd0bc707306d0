"""The transport of `Client`: aiohttp, with tries that are patient."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from msgspec import Struct
from yarl import URL

from dispatcher.client.answers import Address, Answer, Patience, checked, refused
from dispatcher.client.errors import Refused, Unreachable

USER_AGENT: Final = "dispatcher-client"
CONNECT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 60.0
"""A stream that says nothing for so long is broken: the service speaks every 15 seconds."""

_PROBLEM_BYTES: Final = 65_536


class Surroundings(Struct, frozen=True):
    """Time and chance; tests give their own."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    unit: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic


class Transport:
    """Calls the service. It follows no redirect, uses no proxy and keeps no cookie.

    Everything that it is given to call may be sent again: what it reads, and what has an
    idempotency key or is idempotent itself.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_seconds: float,
        patience: Patience,
        around: Surroundings,
    ) -> None:
        self.around = around
        self.patience = patience
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        held_seconds: float = 0.0,
    ) -> Answer:
        """Make a request, and again where that may help.

        Args:
            method: of HTTP.
            path: begins with a slash and is encoded already.
            query: its parameters, not encoded.
            body: JSON.
            headers: besides the usual ones.
            held_seconds: how long the service was asked to hold the answer.

        Raises:
            Refused: the answer is neither a 2xx nor a 304, and the last try's.
            Unreachable: none came, at the last try.
        """
        failed = 0
        while True:
            wish = None
            try:
                return await self._once(method, path, query, body, headers or {}, held_seconds)
            except Unreachable as error:
                told: Refused | Unreachable = error
            except Refused as error:
                if not error.again:
                    raise
                told, wish = error, error.retry_after_seconds
            failed += 1
            pause = self.patience.pause(failed, wish, self.around.unit())
            if pause is None:
                raise told
            await self.around.sleep(pause)

    async def _once(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: bytes | None,
        headers: Mapping[str, str],
        held_seconds: float,
    ) -> Answer:
        seconds = self._timeout_seconds + held_seconds
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        more = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._opened().request(
                method,
                self._url(path, query),
                data=body,
                headers={**headers, **more},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise Unreachable(self._why(error, seconds)) from error
        found = {name.lower(): value for name, value in response.headers.items()}
        return checked(response.status, found, content)

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that goes on; tried once.

        Raises `Refused`, `Unreachable`; the latter too while it is read.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        try:
            async with self._opened().get(
                self._url(path, ()), headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if not response.ok or response.status in range(300, 400):
                    found = {name.lower(): value for name, value in response.headers.items()}
                    content = await response.content.read(_PROBLEM_BYTES)
                    raise refused(response.status, found, content)
                yield response
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(self._why(error, SILENT_SECONDS)) from error

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        url = URL(self._address.url + path, encoded=True)
        return url.with_query(list(query)) if query else url

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            headers = {"User-Agent": USER_AGENT}
            if self._address.api_key:
                headers["Authorization"] = f"Bearer {self._address.api_key}"
            self._session = aiohttp.ClientSession(
                headers=headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _why(self, error: Exception, seconds: float) -> str:
        url = self._address.url
        if isinstance(error, TimeoutError):
            return f"{url} did not answer within {seconds:g} s"
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
            error.os_error, ConnectionRefusedError
        ):
            return f"nothing listens at {url}: start `dispatcher serve`, or set DISPATCHER_URL"
        return f"{url}: no answer came: {error or type(error).__name__}"
