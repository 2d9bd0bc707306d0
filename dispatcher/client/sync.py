"""The same client for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from dispatcher.client.answers import DEFAULT_TIMEOUT_SECONDS, Patience
from dispatcher.client.client import Client
from dispatcher.client.values import Job, JobEvent, Submission
from dispatcher.client.verify import ReceivedEvent

T = TypeVar("T")

_USUAL: Final = Patience()


class SyncClient:
    """`Client`, each call of which blocks. Its event loop runs in a thread of its own.

    Threads may share it. It must be closed, and must not be used in a child that was forked after
    it was made. Callbacks such as `on_change` are called in its own thread.
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
        """Close every connection and end the thread; harmless a second time."""
        if self._loop.is_closed():
            return
        self._do(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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
        page_items: int = 100,
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
        return SyncFeed(self._each(feed), lambda: feed.cursor)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # whoever waited was interrupted: the work is not to go on
            raise

    def _each(self, source: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T:
            return await anext(source)

        try:
            while True:
                try:
                    yield self._do(following())
                except StopAsyncIteration:
                    return
        finally:
            ends = getattr(source, "aclose", None)
            # Collected as garbage, it may find itself in our own thread, which must not wait.
            waits = threading.current_thread() is not self._thread
            if ends is not None and waits and not self._loop.is_closed():
                self._do(ends())


class SyncFeed(Iterator[ReceivedEvent]):
    """`Feed`, for programs without an event loop; `cursor` is as there."""

    def __init__(self, events: Iterator[ReceivedEvent], cursor: Callable[[], str | None]) -> None:
        self._events = events
        self._cursor = cursor

    @property
    def cursor(self) -> str | None:
        """Where to go on later: see `Feed`."""
        return self._cursor()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ReceivedEvent:
        return next(self._events)
