"""What a handler can ask of its job and tell about it.

One class for both kinds of handler, so that a handler moves between `async def` and `def` by
adding or dropping `await`, and nothing else: see `JobContext`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
from collections.abc import Awaitable, Generator, Mapping
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Any, Final

from dispatcher.adapters.runners.encoding import encode
from dispatcher.adapters.runners.text import safe_text
from dispatcher.core.errors import Cancel
from dispatcher.core.model import Instant, Job, Progress
from dispatcher.ports.runner import RunReport

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STOPPED: Final = "The job was asked to stop."


class _Turn:
    """Awaited, it gives everything else on the event loop a turn, once; unawaited it is nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield  # as asyncio.sleep(0) does: the task goes to the end of the loop's queue


class _Done:
    """Awaited or not, it is nothing: what it stands for has been done."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_TURN: Final = _Turn()
_DONE: Final = _Done()


class JobContext:
    """The job at hand.

    In `async def` handlers `progress` and `output` are awaited; in `def` handlers, which run in
    threads, they are plain calls that return when they are done:

        await job.output({"page": 1})   # async def
        job.output({"page": 1})         # def

    It is good only while the handler runs, and in a `def` handler from any of its threads.
    """

    __slots__ = ("_job", "_report")

    def __init__(self, job: Job, report: RunReport) -> None:
        self._job = job
        self._report = report

    def __repr__(self) -> str:
        return f"<JobContext {self._job.id} {self._job.type} attempt {self._job.attempt_count}>"

    # --- what it is ------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """`job_…`, the same at every attempt: good as an idempotency key towards others."""
        return self._job.id

    @property
    def type(self) -> str:
        """The name under which the handler was declared."""
        return self._job.type

    @property
    def queue(self) -> str:
        return self._job.queue

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._job.attempt_count

    @property
    def max_attempts(self) -> int:
        return self._job.max_attempts

    @property
    def caller_id(self) -> str:
        """`clr_…`, whose job it is."""
        return self._job.caller_id

    @property
    def correlation_id(self) -> str | None:
        """What the caller knows the job by."""
        return self._job.correlation_id

    @property
    def metadata(self) -> Mapping[str, str]:
        """The caller's own notes, empty without any; a copy."""
        return dict(self._job.metadata or {})

    @property
    def traceparent(self) -> str | None:
        """The caller's trace (W3C Trace Context), to be sent on to others."""
        return None if self._job.trace is None else self._job.trace.traceparent

    @property
    def tracestate(self) -> str | None:
        """As `traceparent`."""
        return None if self._job.trace is None else self._job.trace.tracestate

    @property
    def created_at(self) -> datetime:
        """When the job was accepted, in UTC."""
        return _moment(self._job.created_at)

    @property
    def deadline(self) -> datetime | None:
        """The instant, in UTC, at which the job expires if it has not ended."""
        return None if self._job.deadline is None else _moment(self._job.deadline)

    @property
    def timeout_seconds(self) -> float:
        """How long this attempt may take; then it is stopped."""
        return self._job.timeout_seconds

    # --- what it tells ---------------------------------------------------------------------

    def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> Awaitable[None]:
        """Say how far the job is: cheap, so say it as often as you like; the latest counts.

        Awaiting it gives others on the event loop a turn, and is where a stop takes effect.

        Args:
            current: how much is done, in a unit of your choice.
            total: how much there is to do in that unit, if it is known.
            message: for people; 2,000 characters at most.

        Raises:
            TypeError: `current` or `total` is no number.
            ValueError: `current` or `total` is infinite or NaN.
        """
        self._report.progress(sound_progress(current, total, message))
        return _TURN

    def output(self, value: object) -> Awaitable[None]:
        """Keep an intermediate result, for those who follow the job as the event `job.output`.

        When it is done the output is durable. What can be a result can be an output.

        Raises:
            TypeError, ValueError: `value` can't be written as JSON, or is larger as JSON than the
                setting `limit_output_bytes` (1 MiB): then put it where it can be fetched.
            StoreUnavailable: the store can't keep it now; the attempt fails unless you catch it.
        """
        return self._report.output(encode(value))

    # --- when it is to stop ----------------------------------------------------------------

    @property
    def cancel_requested(self) -> bool:
        """Whether the job is to stop: canceled, out of time, or the service shuts down.

        An `async def` handler is stopped by `asyncio.CancelledError` at its next `await` in any
        case; a thread can't be stopped from outside, so a `def` handler that takes long asks this,
        or calls `raise_if_canceled`, every now and then.
        """
        return self._report.cancel_requested()

    def raise_if_canceled(self) -> None:
        """Leave the handler if the job is to stop, by raising `Cancel`; clean up in `finally`."""
        if self.cancel_requested:
            raise Cancel(_STOPPED)


class ThreadContext(JobContext):
    """For `def` handlers. Made on the event loop, used in threads."""

    __slots__ = ("_loop", "_stopped")

    def __init__(self, job: Job, report: RunReport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(job, report)
        self._loop = loop
        self._stopped = False

    def stop(self) -> None:
        """Tell the handler to stop, when it asks. For the runner."""
        self._stopped = True

    @property
    def cancel_requested(self) -> bool:
        """See `JobContext.cancel_requested`."""
        return self._stopped or self._report.cancel_requested()

    def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> Awaitable[None]:
        """See `JobContext.progress`."""
        super().progress(current, total, message)
        return _DONE

    def output(self, value: object) -> Awaitable[None]:
        """See `JobContext.output`; blocks until the output is durable."""
        report = self._keep(encode(value))
        try:
            asyncio.run_coroutine_threadsafe(report, self._loop).result()
        except concurrent.futures.CancelledError:
            # The lease was lost: whatever the handler does now, it no longer counts.
            self._stopped = True
            raise Cancel(_STOPPED) from None
        return _DONE

    async def _keep(self, output: bytes) -> None:
        await self._report.output(output)


def _moment(at: Instant) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)


def sound_progress(current: Any, total: Any, message: Any) -> Progress:
    """What was told of progress, fit to be stored; raises as `JobContext.progress` does."""
    return Progress(
        _number("current", current),
        None if total is None else _number("total", total),
        None if message is None else safe_text(message),
    )


def _number(name: str, value: Any) -> float:
    """`value` as an int or float that JSON can write; numpy's scalars are numbers too."""
    if type(value) is not int and type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"progress: `{name}` must be a number, not {type(value).__name__}")
        value = int(value) if isinstance(value, Integral) else float(value)
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int beyond the range of float
        finite = False
    if not finite:
        raise ValueError(f"progress: `{name}` must be a finite number, within the range of float")
    number: float = value
    return number
