"""The same client for programs without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from dispatcher.client.answers import DEFAULT_TIMEOUT_SECONDS, Patience
from dispatcher.client.client import Client
from dispatcher.client.errors import Unreachable
from dispatcher.client.feed import Feed
from dispatcher.client.values import Job, JobEvent, Submission
from dispatcher.client.verify import ReceivedEvent
from dispatcher.core.limits import ANY_PAGE_ITEMS

T = TypeVar("T")

_USUAL: Final = Patience()
_CLOSED: Final = "this SyncClient is closed"
_OWN_THREAD: Final = (
    "what a SyncClient calls (on_change, on_gap) must not call it: that would wait for itself. "
    "Note what happened, and call when the call that told of it has returned"
)


class SyncClient:
    """`Client`, each call of which blocks. Its event loop runs in a thread of its own.

    Threads may share it. It must be closed, which ends calls that are under way in other threads
    (`Unreachable`). Callbacks such as `on_change` are called in its own thread. `RuntimeError` is
    what a call raises in there, in a child that was forked after it was made, and once it is
    closed: it could only wait for ever.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        patience: Patience = _USUAL,
    ) -> None:
        """As `Client`."""
        self._client = Client(url, api_key, timeout_seconds=timeout_seconds, patience=patience)
        self.url = self._client.url
        self._pid = os.getpid()
        # Re-entrant: garbage that is collected meanwhile may be an iterator of ours, which closes.
        self._lock = threading.RLock()
        self._ending: concurrent.futures.Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="dispatcher-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread; harmless a second time, or after a fork."""
        if os.getpid() != self._pid:
            return
        if threading.current_thread() is self._thread:
            raise RuntimeError(_OWN_THREAD)
        with self._lock:
            first = self._ending is None
            if self._ending is None:
                self._ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
                self._ending.add_done_callback(self._stop)
            ending = self._ending
        concurrent.futures.wait((ending,))  # if that is interrupted the thread ends all the same
        self._thread.join()
        self._loop.close()
        if first:
            ending.result()

    def _stop(self, _: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        """End what is under way: whoever waits for it would never hear that the loop stopped."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._client.close()

    def submit(self, type: str, input: Any, **options: Unpack[Submission]) -> Job:  # noqa: A002  # as `Client`
        """See `Client.submit`."""
        return self._do(self._client.submit(type, input, **options))

    def get(self, job: Job | str) -> Job:
        """See `Client.get`."""
        return self._do(self._client.get(job))

    def wait(
        self,
        job: Job | str,
        *,
        timeout_seconds: float | None = None,
        on_change: Callable[[Job], object] | None = None,
    ) -> Job:
        """See `Client.wait`."""
        waiting = self._client.wait(job, timeout_seconds=timeout_seconds, on_change=on_change)
        return self._do(waiting)

    @overload
    def result(self, job: Job | str) -> Any: ...

    @overload
    def result(self, job: Job | str, as_type: type[T]) -> T: ...

    def result(self, job: Job | str, as_type: Any = Any) -> Any:
        """See `Client.result`."""
        return self._do(self._client.result(job, as_type))

    def cancel(self, job: Job | str) -> Job:
        """See `Client.cancel`."""
        return self._do(self._client.cancel(job))

    def public_keys(self) -> tuple[str, ...]:
        """See `Client.public_keys`."""
        return self._do(self._client.public_keys())

    def follow(self, job: Job | str, *, cursor: str | None = None) -> Iterator[JobEvent]:
        """See `Client.follow`."""
        return self._each(self._client.follow(job, cursor=cursor))

    def events(
        self,
        cursor: str | None = None,
        *,
        types: Sequence[str] = (),
        caller_id: str | None = None,
        page_items: int = ANY_PAGE_ITEMS,
        follow: bool = True,
        on_gap: Callable[[], object] | None = None,
    ) -> SyncFeed:
        """See `Client.events`."""
        feed = self._client.events(
            cursor,
            types=types,
            caller_id=caller_id,
            page_items=page_items,
            follow=follow,
            on_gap=on_gap,
        )
        return SyncFeed(feed, self._next)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        future = self._begun(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Unreachable(f"{self.url}: the client was closed before an answer came") from None
        except BaseException:
            future.cancel()  # whoever waited was interrupted: the work is not to go on
            raise

    def _begun(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """The work, begun in our own thread; raises `RuntimeError` where it never would be."""
        fault = self._fault()
        if fault is None:  # else the lock may be held by a thread that did not survive a fork
            with self._lock:
                if self._ending is None:
                    return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeError(fault or _CLOSED)

    def _fault(self) -> str | None:
        if os.getpid() != self._pid:
            return "this SyncClient was made before a fork: make one in each process"
        if threading.current_thread() is self._thread:
            return _OWN_THREAD
        return None if self._ending is None else _CLOSED

    def _next(self, feed: Feed) -> ReceivedEvent:
        async def following() -> ReceivedEvent:
            return await anext(feed)

        return self._do(following())

    def _each(self, source: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> T:
            return await anext(source)

        try:
            while True:
                try:
                    yield self._do(following())
                except StopAsyncIteration:
                    return
        finally:
            # Collected as garbage, it may find itself anywhere, also in our own thread.
            if self._fault() is None:
                with suppress(RuntimeError, Unreachable):  # closed in this moment
                    self._do(source.aclose())


class SyncFeed(Iterator[ReceivedEvent]):
    """`Feed`, for programs without an event loop; `cursor` is as there.

    After an error it goes on where it was when the next event is asked for, as `Feed` does.
    """

    def __init__(self, feed: Feed, ask: Callable[[Feed], ReceivedEvent]) -> None:
        self._feed = feed
        self._ask = ask

    @property
    def cursor(self) -> str | None:
        """Where to go on later: see `Feed`."""
        return self._feed.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ReceivedEvent:
        try:
            return self._ask(self._feed)
        except StopAsyncIteration:
            raise StopIteration from None
