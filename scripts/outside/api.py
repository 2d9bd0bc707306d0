"""A caller of the API: plain HTTP, nothing of the service's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp
from msgspec import Struct


class Answer(Struct, frozen=True):
    """A status, the headers (names in lower case) and the JSON, None if there was none."""

    status: int
    headers: dict[str, str]
    json: Any


class Api:
    """Calls one service as one caller; without a key as the `--dev` caller."""

    def __init__(self, url: str, api_key: str | None = None, *, seconds: float = 10) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request. Raises `aiohttp.ClientError` or `TimeoutError` when no answer comes."""
        if self._session is None:
            raise RuntimeError("use it with `async with`")
        url = path if path.startswith("http") else self._url + path
        async with self._session.request(method, url, json=json, headers=headers) as response:
            text = await response.text()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                await response.json(content_type=None) if text else None,
            )

    async def submit(
        self, job: dict[str, Any], idempotency_key: str | None = None, **headers: str
    ) -> Answer:
        """`POST /v1/jobs`."""
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return await self.call("POST", "/v1/jobs", json=job, headers=headers)

    async def job(self, job_id: str) -> dict[str, Any]:
        """`GET /v1/jobs/{id}`; the job must be there."""
        answer = await self.call("GET", f"/v1/jobs/{job_id}")
        if answer.status != 200:
            raise AssertionError(f"GET {job_id} answered {answer.status}: {answer.json}")
        found: dict[str, Any] = answer.json
        return found

    async def jobs(self, query: str = "") -> AsyncIterator[dict[str, Any]]:
        """Every job of the list, page by page, newest first."""
        path: str | None = f"/v1/jobs?limit=100{query}"
        while path is not None:
            answer = await self.call("GET", path)
            if answer.status != 200:
                raise AssertionError(f"GET {path} answered {answer.status}: {answer.json}")
            for each in answer.json["items"]:
                yield each
            cursor = answer.json["nextCursor"]
            path = None if cursor is None else f"/v1/jobs?limit=100&cursor={cursor}{query}"
