"""Python handlers in worker processes: a pool a type, one job at a time in each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from typing import Any, Final, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from dispatcher.adapters.runners.endings import ids_of, logger
from dispatcher.adapters.runners.processes.children import Child, Children, ChildrenUnavailable
from dispatcher.adapters.runners.processes.frames import (
    Boot,
    Do,
    Ended,
    FromWorker,
    Kept,
    Logged,
    Output,
    Ready,
    Stop,
    Told,
    ToWorker,
    frame,
    from_worker,
    receive,
)
from dispatcher.adapters.runners.processes.lines import Said, lines_of
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreError
from dispatcher.core.model import Job, JobType
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
    WorkerLost,
)
from dispatcher.core.retry import JobBackoff
from dispatcher.ports.runner import RunReport

WORKER_START: Final = "worker-start"

STOP_SECONDS: Final = 1.0
"""A handler that was told to stop has this long; then its process group gets SIGTERM."""


LINGER_SECONDS: Final = 1.0
"""What a worker that has ended said is read so much longer: a process that it forked, and that left
its group with `setsid`, may hold its pipes open for ever."""


class Home(Struct, frozen=True):
    """Where a handler is declared: its module, and the module's file."""

    module: str
    file: str | None


class _NotStarted(Exception):
    """A worker process could not be started, or could not import the handler."""


class ProcessRunner:
    """Implements `ports.runner.Runner` by up to `concurrency` worker processes.

    They are started when they are needed, and kept. A crash of one ends the attempt that it was at,
    as a worker that was lost, and nothing else. When the job is to stop, the handler is told as in
    the service itself; if it goes on its process group gets SIGTERM a second later, and SIGKILL.
    """

    def __init__(
        self, job_type: JobType, backoff: JobBackoff, home: Home, children: Children
    ) -> None:
        self._type = job_type
        self._backoff = backoff
        self._home = home
        self._children = children
        self._idle: deque[_Worker] = deque()

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
        said = Said(job)
        try:
            worker = await self._worker(said)
        except (_NotStarted, ChildrenUnavailable) as error:
            logger.error(  # the worker's own traceback is in the log already
                "A worker process for job %s (%s) can't be started: %s",
                job.id,
                job.type,
                error,
                extra=ids_of(job),
            )
            return AttemptFailed(WORKER_START, "A worker process could not be started.")
        try:
            outcome = await worker.do(leased, report, said)
        finally:
            if worker.well:
                self._idle.append(worker)
            else:
                await worker.end()
        if isinstance(outcome, WorkerLost):
            _tell_operators(job, worker.status, said)
        return outcome

    async def _worker(self, said: Said) -> _Worker:
        """An idle worker, or a new one; cancelled, none is left behind."""
        while self._idle:
            worker = self._idle.pop()  # the one used last: its caches are warm
            if worker.well:
                return worker
            await worker.end()
        environment = dict(os.environ)
        # -P: what lies in the working folder, such as an app called queue.py, must not come first.
        module = "dispatcher.adapters.runners.processes.worker"
        child = await self._children.start([sys.executable, "-P", "-m", module], environment)
        worker = _Worker(child)
        try:
            await worker.boot(self._home, self._type.name, said)
        except BaseException:
            await worker.end()
            raise
        return worker


class _Worker:
    """One worker process."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._said: Said | None = None
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        self._leaving = asyncio.get_running_loop().create_task(self._leave())
        self._busy = False

    @property
    def well(self) -> bool:
        """Whether it waits for a job: it does none, and has not ended."""
        return not self._busy and self.status is None

    @property
    def status(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._child.status

    async def boot(self, home: Home, name: str, said: Said) -> None:
        """Have it import the handler; raises `_NotStarted`."""
        self._said = said
        level = logging.getLogger().getEffectiveLevel()
        await self._say(Boot(sys.path, home.module, home.file, name, level))
        ready = await self._hear()
        while isinstance(ready, Logged):
            _pass_on(ready)
            ready = await self._hear()
        if not isinstance(ready, Ready):
            raise _NotStarted(f"it ended before it was ready; it said: {said.end}")
        if ready.error is not None:
            raise _NotStarted(ready.error)

    async def do(self, leased: LeasedJob, report: RunReport, said: Said) -> JobOutcome:
        """Do a job; see `ports.runner.Runner.run`. It is `well` after it if it can do another."""
        self._said = said
        self._busy = True
        job = replace(leased.job, callback=None)
        # At once, so that a Stop can only come behind it.
        self._child.stdin.write(frame(Do(job, Raw(leased.input))))
        doing = asyncio.get_running_loop().create_task(self._converse(job, report))
        canceled = await self._see_through(doing)
        ended = doing.result()
        if ended is None:
            await self._child.stop(at_once=True)  # it has ended, or makes no sense
            if canceled is not None:
                raise canceled
            await asyncio.wait((self._listening,), timeout=LINGER_SECONDS)  # its last words
            return WorkerLost()
        self._busy = False
        outcome = _outcome(ended)
        if outcome is None:  # it was stopped, and says so
            raise canceled or asyncio.CancelledError
        if canceled is not None and not isinstance(outcome, Succeeded | Failed):
            raise canceled
        return outcome

    async def _see_through(
        self, doing: asyncio.Task[Ended | None]
    ) -> asyncio.CancelledError | None:
        """Wait until the job has ended. Cancelled, stop it; cancelled again, stop it now."""
        canceled: asyncio.CancelledError | None = None
        while not doing.done():
            try:
                await asyncio.wait((doing,), timeout=None if canceled is None else STOP_SECONDS)
            except asyncio.CancelledError as error:
                if canceled is None:
                    self._child.stdin.write(frame(Stop()))
                else:
                    await self._child.stop()
                canceled = error
            else:
                if not doing.done():
                    await self._child.stop()
        return canceled

    async def end(self) -> None:
        """Leave nothing of it."""
        await self._child.stop(at_once=True)
        self._listening.cancel()
        self._leaving.cancel()
        self._child.close()

    async def _converse(self, job: Job, report: RunReport) -> Ended | None:
        """Pass on what the job tells, until it ends; None: the process has gone."""
        while (message := await self._hear()) is not None:
            match message:
                case Ended():
                    return message
                case Told(progress=progress):
                    report.progress(progress)
                case Output(output=output):
                    with contextlib.suppress(OSError):
                        await self._say(await _keep(report, bytes(output)))
                case Logged():
                    _pass_on(message, job)
                case Ready():
                    continue
                case _:
                    assert_never(message)
        return None

    async def _hear(self) -> FromWorker | None:
        """The next message; None once it has ended, or if somebody else writes to its pipe."""
        data = await receive(self._child.stdout)
        try:
            return None if data is None else from_worker.decode(data)
        except (ValueError, msgspec.MsgspecError):
            return None

    async def _say(self, message: ToWorker) -> None:
        self._child.stdin.write(frame(message))
        await self._child.stdin.drain()

    async def _leave(self) -> None:
        """Once it has ended, let the rest of what it said be read, and then have done with it."""
        await self._child.wait()
        await asyncio.sleep(LINGER_SECONDS)
        self._child.close()

    async def _listen(self) -> None:
        async for line in lines_of(self._child.stderr):
            if self._said is not None:
                self._said.add(line)


async def _keep(report: RunReport, output: bytes) -> Kept:
    try:
        await report.output(output)
    except StoreError as error:
        return Kept(error=str(error))
    except ValueError as error:
        return Kept(refused=str(error))
    return Kept()


def _outcome(ended: Ended) -> JobOutcome | None:
    match ended.kind:
        case "Succeeded":
            return Succeeded(b"null" if ended.result is UNSET else bytes(ended.result))
        case "Failed":
            return Failed(ended.code, ended.detail)
        case "AttemptFailed":
            return AttemptFailed(ended.code, ended.detail, ended.seconds)
        case "Canceled":
            return Canceled(ended.detail)
        case "Snoozed":
            return Snoozed(ended.seconds or 0.0)
        case _:
            return None


def _pass_on(logged: Logged, job: Job | None = None) -> None:
    """Write a record of the worker's into the log of the service."""
    fields: dict[str, Any] = {} if job is None else ids_of(job)
    text = logged.text if logged.trace_back is None else f"{logged.text}\n{logged.trace_back}"
    logging.getLogger(logged.name).log(logged.level, "%s", text, extra=fields)


def _tell_operators(job: Job, status: int | None, said: Said) -> None:
    how = f"with exit status {status}"
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            how = f"by {signal.Signals(-status).name}"
    logger.warning(
        "The worker process of job %s (%s), attempt %d, ended %s. The end of what it said: %s",
        job.id,
        job.type,
        job.attempt_count,
        how,
        said.end,
        extra=ids_of(job),
    )
