"""The client for callers, on asyncio."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload
from urllib.parse import quote

import msgspec

from dispatcher.client.answers import DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, Address, Patience
from dispatcher.client.errors import Unreachable
from dispatcher.client.feed import Feed
from dispatcher.client.following import Following
from dispatcher.client.keys import PublicKeys
from dispatcher.client.transport import Surroundings, Transport
from dispatcher.client.values import Job, JobEvent, Submission, body_of, job_of
from dispatcher.client.waiting import wait_for
from dispatcher.core.limits import ANY_PAGE_ITEMS

T = TypeVar("T")

_USUAL: Final = Patience()
_REAL: Final = Surroundings()
_ONE_JOB: Final = "/v1/jobs/"


class Client:
    """Submits jobs to a dispatcher, and hears how they fare.

        async with Client("https://jobs.example.com", api_key) as client:
            job = await client.submit("report.generate", {"month": "2026-01"})
            job = await client.wait(job, timeout_seconds=300)
            report = await client.result(job)

    What gets no answer, or a 429, 502, 503 or 504, is tried again as `patience` says, with
    `Retry-After` honoured. Every call raises:

    - `Refused`: the service won't; one class a kind, such as `NotFound`, `Invalid`,
      `LimitExceeded`, `Unavailable`. It carries `code`, `detail` and `errors`.
    - `Unreachable`: no answer came, nor at the last try.

    A job is named by its id, or by a `Job`. One client may make many calls at once, on one event
    loop.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        patience: Patience = _USUAL,
        around: Surroundings = _REAL,
    ) -> None:
        """Nothing is connected yet.

        Args:
            url: of the service; None: `DISPATCHER_URL`, else http://127.0.0.1:8080.
            api_key: None: `DISPATCHER_API_KEY`, else none is sent (`--dev`).
            timeout_seconds: for one request, besides what it is asked to wait.
            patience: how often a request is tried.
            around: time and chance, for tests.

        Raises:
            SettingsError: the URL is no http or https URL, or the key can't be a header.
        """
        address = Address.parse(
            url or os.environ.get("DISPATCHER_URL") or DEFAULT_URL,
            api_key or os.environ.get("DISPATCHER_API_KEY") or None,
        )
        self.url = address.url
        self._transport = Transport(
            address, timeout_seconds=timeout_seconds, patience=patience, around=around
        )

        self._public_keys = PublicKeys(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def submit(self, type: str, input: Any, **options: Unpack[Submission]) -> Job:  # noqa: A002  # the field's own words
        """Submit a job, and give it as it is then: it has been accepted, and will be done.

        `input` is whatever msgspec writes as JSON: dicts, lists, dataclasses, Structs. However
        often it is tried, it is one job: all tries have the same `Idempotency-Key`. Give your own
        `idempotency_key` to be as sure across restarts of your program. `Submission` says what else
        there is.

        Raises `Invalid` with all its faults, `KeyReused`, `Gone` if the job of that key was erased,
        `LimitExceeded`, besides the usual; `ValueError` for a time without a zone.
        """
        body = body_of(type, input, options)
        headers = {"Idempotency-Key": _quoted(options.get("idempotency_key"))}
        for name in ("traceparent", "tracestate"):
            if value := options.get(name):
                headers[name] = str(value)
        held = int(options.get("wait_seconds") or 0)
        if held:
            headers["Prefer"] = f"respond-async, wait={held}"
        caller_id = options.get("caller_id")
        answer = await self._transport.call(
            "POST",
            "/v1/jobs",
            query=[] if caller_id is None else [("callerId", caller_id)],
            body=body,
            headers=headers,
            held_seconds=held,
        )
        return job_of(answer)

    async def get(self, job: Job | str) -> Job:
        """The job as it is now. Raises `NotFound`, also for another caller's."""
        return job_of(await self._transport.call("GET", _path(job)))

    async def wait(
        self,
        job: Job | str,
        *,
        timeout_seconds: float | None = None,
        on_change: Callable[[Job], object] | None = None,
    ) -> Job:
        """The job once it is done, well or not: see its `status`.

        The service is asked to hold each answer (long poll); where it does not, it is asked again
        after a pause. A service that restarts meanwhile is waited for, as `patience` says.

        Args:
            job: which.
            timeout_seconds: how long to wait at most; None: for ever. A service that does not
                answer is tried again, for as long as `patience` says, beyond it.
            on_change: told of the job each time that its status, progress or delivery changed.

        Raises:
            WaitTimedOut: it was not done in time; it goes on.
        """
        return await wait_for(
            self._transport, _path(job), timeout_seconds=timeout_seconds, on_change=on_change
        )

    @overload
    async def result(self, job: Job | str) -> Any: ...

    @overload
    async def result(self, job: Job | str, as_type: type[T]) -> T: ...

    async def result(self, job: Job | str, as_type: Any = Any) -> Any:
        """The result of a job that succeeded, at any size; as `as_type` if that is given.

        Raises `JobNotDone`, `JobUnsuccessful` (with the job's `error`), `Gone`;
        `msgspec.ValidationError` if it is no `as_type`.
        """
        answer = await self._transport.call("GET", f"{_path(job)}/result")
        try:
            return msgspec.json.decode(answer.body, type=as_type)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, ValueError):  # what answered was a proxy's page, say
            raise Unreachable(
                "the answer is no result: is that the dispatcher? Check DISPATCHER_URL"
            ) from None

    async def cancel(self, job: Job | str) -> Job:
        """Cancel, and give the job as it is now: one that runs is asked to stop. Idempotent."""
        return job_of(await self._transport.call("POST", f"{_path(job)}/cancel"))

    def follow(
        self, job: Job | str, *, cursor: str | None = None
    ) -> AsyncGenerator[JobEvent, None]:
        """The events of one job while they happen, to its last: by Server-Sent Events.

        A stream that breaks is taken up again where it was. Live progress is among them whether or
        not the submission asked for it. `gap` tells that events after `cursor` are not kept any
        more. A service that does not stream is asked for the list of events again and again.
        """
        return Following(self._transport, _path(job), cursor).events()

    async def public_keys(self) -> tuple[str, ...]:
        """The service's public keys, for `verify(None, …, public_keys=…)`; kept for 5 minutes.

        They need no API key. Ask for them before each callback is verified, and never because one
        did not verify: anyone can send you those.
        """
        return await self._public_keys.get()

    def events(
        self,
        cursor: str | None = None,
        *,
        types: Sequence[str] = (),
        caller_id: str | None = None,
        page_items: int = ANY_PAGE_ITEMS,
        follow: bool = True,
        on_gap: Callable[[], object] | None = None,
    ) -> Feed:
        """All of the caller's events, oldest first: for those who can't receive callbacks.

            feed = client.events(cursor_that_was_kept, types=["job.succeeded", "job.failed"])
            async for event in feed:
                await handle(event)
                keep(feed.cursor)

        Args:
            cursor: go on behind it; None: from the oldest that is kept.
            types: these alone; empty: all.
            caller_id: for operators: whose; None: everyone's.
            page_items: how many are fetched at a time, if the service's pages are as large.
            follow: wait for more at the end; else it ends at the present.
            on_gap: called when events were pruned before they were read; else that is logged.
        """
        return Feed(
            self._transport,
            cursor,
            types=types,
            caller_id=caller_id,
            page_items=page_items,
            follow=follow,
            on_gap=on_gap,
        )


def _path(job: Job | str) -> str:
    return _ONE_JOB + quote(job if isinstance(job, str) else job.id, safe="")


def _quoted(key: str | None) -> str:
    """A key as a string of structured fields (RFC 8941, 3.3.3).

    An empty one is sent, to be refused: with another in its place two submissions that were to be
    one job would be two.
    """
    text = str(uuid.uuid4()) if key is None else key
    return '"{}"'.format(text.replace("\\", r"\\").replace('"', r"\""))
