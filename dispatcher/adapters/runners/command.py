"""Jobs done by a command: JSON in, JSON out, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dispatcher.adapters.runners.context import sound_progress
from dispatcher.adapters.runners.endings import BAD_RESULT, ids_of, logger
from dispatcher.adapters.runners.processes import Child, Children, ChildrenUnavailable
from dispatcher.adapters.runners.processes.lines import Said, lines_of
from dispatcher.adapters.runners.text import is_json
from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Job, JobType, Progress
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome, Succeeded, WorkerLost
from dispatcher.core.retry import JobBackoff
from dispatcher.ports.runner import RunReport

COMMAND_EXIT: Final = "command-exit"
COMMAND_START: Final = "command-start"
COMMAND_OUTPUT: Final = "command-output"

LINGER_SECONDS: Final = 1.0
"""Once a command has ended, its pipes are read so much longer: whoever left its group with `setsid`
may hold them open for ever."""

_KEPT_NAMES: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
)
"""Of the service's own environment a command sees these; its secrets are none of its business."""


class CommandTerms(Struct, frozen=True, kw_only=True):
    """What to run. `command` is the program and its arguments, never put through a shell.

    `environment` is set besides the little that every command gets; `result_bytes` is how much it
    may write to its standard output.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    result_bytes: int


class _TooMuch(Exception):
    """More came on standard output than a result may have."""


class CommandRunner:
    """Implements `ports.runner.Runner` by a process for each attempt.

    The input's JSON comes on standard input, the result's JSON is read from standard output; empty
    is null. Exit status 0 is success, 75 (EX_TEMPFAIL of sysexits.h) a failed attempt, any other a
    failure. One that is ended by a signal is a worker that was lost.

    A line of standard error that is a JSON object `{"progress": {…}}` or `{"output": …}` is that;
    others go to the log. When the job is to stop, the command's process group gets SIGTERM, and
    SIGKILL two seconds later.
    """

    def __init__(
        self, job_type: JobType, backoff: JobBackoff, terms: CommandTerms, children: Children
    ) -> None:
        self._type = job_type
        self._backoff = backoff
        self._terms = terms
        self._children = children

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
            child = await self._children.start(self._terms.command, self._environment(job))
        except ChildrenUnavailable as error:
            logger.error(  # the reason says it; a traceback of ours adds nothing
                "The command of job %s (%s), %s, can't be started: %s.",
                job.id,
                job.type,
                self._terms.command[0],
                error,
                extra=ids_of(job),
            )
            return AttemptFailed(COMMAND_START, "The command could not be started.")
        said = Said(job)
        try:
            return await self._attend(child, leased, report, said)
        finally:
            await child.stop(at_once=True)  # it has ended, but for a defect of ours
            child.close()

    async def _attend(
        self, child: Child, leased: LeasedJob, report: RunReport, said: Said
    ) -> JobOutcome:
        loop = asyncio.get_running_loop()
        feeding = loop.create_task(_feed(child, leased.input))
        result = loop.create_task(_read(child.stdout, self._terms.result_bytes))
        listening = loop.create_task(_listen(child.stderr, report, said))
        ended = loop.create_task(child.wait())
        try:
            while not ended.done() and not (_broken(result) or _broken(listening)):
                waiting = {task for task in (ended, result, listening) if not task.done()}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():  # what it says can't be taken: it need not go on
                await child.stop(at_once=True)
            closing = loop.call_later(LINGER_SECONDS, child.close)
            await asyncio.wait((result, listening))
            closing.cancel()
        except asyncio.CancelledError:
            await child.stop()
            raise
        finally:
            for task in (feeding, result, listening, ended):
                task.cancel()
            await asyncio.gather(feeding, result, listening, ended, return_exceptions=True)
        if fault := self._fault(result, listening):
            return fault
        return await self._outcome(leased.job, await child.wait(), result.result(), said)

    def _fault(
        self, result: asyncio.Task[bytes], listening: asyncio.Task[None]
    ) -> JobOutcome | None:
        if _broken(result):
            most = self._terms.result_bytes
            return Failed(BAD_RESULT, f"The command wrote more than {most} bytes as its result.")
        if listening.cancelled():  # the lease was lost, as `RunReport.output` says
            raise asyncio.CancelledError
        if _broken(listening):
            logger.error("What a command says can't be kept.", exc_info=listening.exception())
            return AttemptFailed(COMMAND_OUTPUT, "An intermediate result could not be kept.")
        return None

    async def _outcome(self, job: Job, status: int, result: bytes, said: Said) -> JobOutcome:
        if status == 0:
            result = result.strip(b" \t\r\n") or b"null"
            if await is_json(result):
                return Succeeded(result)
            _tell_operators(job, "wrote a result that is not JSON", said)
            return Failed(BAD_RESULT, "What the command wrote as its result is not JSON.")
        if status < 0:
            _tell_operators(job, f"was ended by {_name(-status)}", said)
            return WorkerLost()
        text = f"The command ended with exit status {status}."
        _tell_operators(job, f"ended with exit status {status}", said)
        if status == os.EX_TEMPFAIL:
            return AttemptFailed(COMMAND_EXIT, text)
        return Failed(COMMAND_EXIT, text)

    def _environment(self, job: Job) -> dict[str, str]:
        found = {name: os.environ[name] for name in _KEPT_NAMES if name in os.environ}
        found.setdefault("PATH", os.defpath)
        found.update(self._terms.environment)
        found["DISPATCHER_JOB_ID"] = job.id
        found["DISPATCHER_ATTEMPT"] = str(job.attempt_count)
        if job.trace is not None:
            found["TRACEPARENT"] = job.trace.traceparent
            if job.trace.tracestate is not None:
                found["TRACESTATE"] = job.trace.tracestate
        return found


async def _feed(child: Child, data: bytes) -> None:
    # A command need not read its input, or all of it.
    with contextlib.suppress(OSError):
        child.stdin.write(data)
        await child.stdin.drain()
    child.stdin.close()


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    parts = bytearray()
    while part := await stream.read(65_536):
        parts += part
        if len(parts) > most:
            raise _TooMuch
    return bytes(parts)


def _broken(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


class _Told(Struct, frozen=True, forbid_unknown_fields=True):
    """A line by which a command tells how far it is, or an intermediate result."""

    progress: Progress | UnsetType = UNSET
    output: Raw | UnsetType = UNSET


_told: Final = msgspec.json.Decoder(_Told)


async def _listen(stream: asyncio.StreamReader, report: RunReport, said: Said) -> None:
    async for line in lines_of(stream):
        told = _understood(line)
        if told is None:
            said.add(line)
            continue
        progress, output = told
        if progress is not None:
            report.progress(progress)
        if output is not None:
            try:
                await report.output(output)
            except ValueError:  # larger than it may be: it is for the log
                said.add(line)


def _understood(line: bytes) -> tuple[Progress | None, bytes | None] | None:
    """What a line tells of the job; None: nothing, it is for the log."""
    if not line.startswith(b"{"):
        return None
    try:
        told = _told.decode(line)
        output = None if told.output is UNSET else bytes(told.output)
        if output is not None:
            msgspec.json.decode(output)  # Raw says nothing of the UTF-8 in it
        progress: Any = None
        if told.progress is not UNSET:
            given = told.progress
            progress = sound_progress(given.current, given.total, given.message)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return None if progress is None and output is None else (progress, output)


def _tell_operators(job: Job, what: str, said: Said) -> None:
    logger.warning(
        "The command of job %s (%s), attempt %d, %s. The end of its standard error: %s",
        job.id,
        job.type,
        job.attempt_count,
        what,
        said.end,
        extra=ids_of(job),
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
