"""Runners for Python handlers: `async def` on the event loop, `def` in threads."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from dispatcher.adapters.runners.context import JobContext, ThreadContext
from dispatcher.adapters.runners.encoding import encode
from dispatcher.adapters.runners.endings import BAD_INPUT, BAD_RESULT, ending, ids_of, logger
from dispatcher.adapters.runners.handler import Handler
from dispatcher.adapters.runners.text import safe_text
from dispatcher.adapters.runners.threads import Threads
from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobType
from dispatcher.core.outcome import Failed, JobOutcome, Succeeded
from dispatcher.core.retry import JobBackoff
from dispatcher.ports.runner import RunReport

at_work: Final[dict[asyncio.Task[Any], Job]] = {}
"""The jobs of `async def` handlers that run on the event loop now, by their tasks."""

job_at_hand: Final[contextvars.ContextVar[Job | None]] = contextvars.ContextVar("job_at_hand")
"""The job that a task belongs to: those that a handler starts have a copy of its context."""

DEFAULT_THREADS: Final = 16
"""How many jobs of a `def` handler run at once in a process where the type does not say."""


class PythonRunner:
    """Implements `ports.runner.Runner` for an `async def` handler.

    When the engine cancels the run, the handler gets `asyncio.CancelledError`. If it ends all the
    same with a result, or with `Fail`, that is how the attempt came out: the work is done, and
    to say anything else would have it done again. Otherwise the cancellation goes on.
    """

    shares_process = True

    def __init__(
        self,
        handler: Handler,
        job_type: JobType,
        backoff: JobBackoff,
        fail_on: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._fail_on = fail_on
        self._call = handler.call
        self._decode = handler.decode
        self._type = job_type
        self._backoff = backoff

    @property
    def type(self) -> JobType:
        """See `Runner.type`."""
        return self._type

    @property
    def backoff(self) -> JobBackoff:
        """See `Runner.backoff`."""
        return self._backoff

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """See `Runner.run`."""
        job = leased.job
        try:
            given = None if self._decode is None else self._decode(leased.input)
        except BaseException as error:  # noqa: BLE001  # the input's type may bring code of its own
            return _refusal(error, job)
        task = asyncio.current_task()
        cancels_before = _cancels()
        if task is not None:
            at_work[task] = job
        job_at_hand.set(job)
        try:
            value = await self._call(JobContext(job, report), given)
        except BaseException as error:
            # A KeyboardInterrupt is the handler's own too: Ctrl-C comes through the loop's signal
            # handler. Let through, either of these would end the loop or keep the job for ever.
            if isinstance(error, GeneratorExit) and not _runs(task):
                raise
            canceled = _cancels() > cancels_before
            if canceled and isinstance(error, asyncio.CancelledError):
                raise
            outcome = ending(error, job, self._fail_on)
            if canceled and not isinstance(outcome, Failed):
                raise asyncio.CancelledError from error
            return outcome
        finally:
            if task is not None:
                at_work.pop(task, None)
        return _result(value, job)


class ThreadRunner(PythonRunner):
    """Implements `ports.runner.Runner` for a `def` handler, in up to `concurrency` threads.

    When the engine cancels the run, the handler is told to stop (`JobContext.cancel_requested`),
    and the run goes on until the thread has left the handler: only then does it end, as above. A
    run for which no thread was free yet ends at once.
    """

    def __init__(
        self,
        handler: Handler,
        job_type: JobType,
        backoff: JobBackoff,
        fail_on: tuple[type[BaseException], ...] = (),
    ) -> None:
        super().__init__(handler, job_type, backoff, fail_on)
        self._threads: Threads[JobOutcome] = Threads(
            job_type.name, job_type.concurrency or DEFAULT_THREADS
        )

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """See `Runner.run`."""
        loop = asyncio.get_running_loop()
        context = ThreadContext(leased.job, report, loop)
        scope = contextvars.copy_context()
        work = self._threads.submit(partial(scope.run, self._do, leased, context))
        ended = asyncio.Event()
        work.add_done_callback(lambda _: _wake(loop, ended))
        canceled: asyncio.CancelledError | None = None
        while not work.done():
            try:
                await ended.wait()
            except asyncio.CancelledError as error:
                if work.cancel():
                    raise
                context.stop()
                canceled = error
        outcome = work.result()
        if canceled is not None and not isinstance(outcome, Succeeded | Failed):
            raise canceled
        return outcome

    def _do(self, leased: LeasedJob, context: ThreadContext) -> JobOutcome:
        """Everything of the job, in a thread."""
        job = leased.job
        try:
            given = None if self._decode is None else self._decode(leased.input)
        except BaseException as error:  # noqa: BLE001  # as above
            return _refusal(error, job)
        try:
            value = self._call(context, given)
        except BaseException as error:  # noqa: BLE001  # even sys.exit() ends the job alone
            return ending(error, job, self._fail_on)
        return _result(value, job)


def _cancels() -> int:
    """How often the running task was asked to cancel."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _runs(task: asyncio.Task[Any] | None) -> bool:
    """Whether this is a step of the task: a coroutine that is thrown away is closed outside it."""
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False


def _wake(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
        loop.call_soon_threadsafe(ended.set)


def _refusal(error: BaseException, job: Job) -> JobOutcome:
    if isinstance(error, msgspec.DecodeError):
        return Failed(BAD_INPUT, safe_text(error))
    return ending(error, job)


def _result(value: object, job: Job) -> JobOutcome:
    try:
        return Succeeded(encode(value))
    except BaseException:  # noqa: BLE001  # a result may bring code of its own
        if inspect.iscoroutine(value):
            value.close()  # a `def` that calls an `async def` and does not wait for it
        logger.exception(
            "The handler of job %s (%s) returned a %s that can't be written as JSON.",
            job.id,
            job.type,
            type(value).__name__,
            extra=ids_of(job),
        )
        return Failed(BAD_RESULT, "The handler's result can't be written as JSON.")
