"""A worker process: one handler of a `process=True` type, one job after another.

Started with a fresh interpreter, it imports the handler's module as the service did. The messages
come and go over standard input and output, which are moved out of the handler's way first: what it
prints goes to standard error, and from there to the service's log, as does what `faulthandler`
says when the interpreter crashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import importlib
import importlib.util
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Final

from msgspec import Raw

from dispatcher.adapters.runners.declare import declared
from dispatcher.adapters.runners.load import import_file
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
    frame,
    receive,
    to_worker,
)
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.model import Progress
from dispatcher.core.outcome import (
    AttemptFailed,
    Canceled,
    Failed,
    JobOutcome,
    Snoozed,
    Succeeded,
)
from dispatcher.ports.runner import Runner

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2

TELL_SECONDS: Final = 0.05
"""Progress is sent so often at most; the service stores it less often still."""


class _Pipe:
    """Writes messages, whole, from any thread: a pipe that blocks holds up who writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def say(self, message: FromWorker) -> None:
        with contextlib.suppress(OSError):  # the service is gone: the warden ends this process
            self._file.write(frame(message))  # a BufferedWriter has a lock of its own
            self._file.flush()


class _Report:
    """Implements `ports.runner.RunReport` by messages."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._kept: asyncio.Future[Kept] | None = None
        self._to_stop = False
        self._closed = False
        self._latest: Progress | None = None
        self._not_before = 0.0

    def progress(self, progress: Progress) -> None:
        """See `RunReport.progress`: the latest is sent, once in `TELL_SECONDS` at most."""
        asked = self._latest is not None
        self._latest = progress
        if not asked:
            self._loop.call_soon_threadsafe(self._tell_soon)

    def _tell_soon(self) -> None:
        self._loop.call_at(self._not_before, self.tell)

    def tell(self) -> None:
        """Send the latest progress, if it was not sent yet."""
        progress, self._latest = self._latest, None
        if progress is not None and not self._closed:
            self._not_before = self._loop.time() + TELL_SECONDS
            self._pipe.say(Told(progress))

    async def output(self, output: bytes) -> None:
        """See `RunReport.output`."""
        async with self._turn:
            if self._closed:
                return
            self.tell()
            self._kept = asyncio.get_running_loop().create_future()
            self._pipe.say(Output(Raw(output)))
            kept = await self._kept
        if kept.refused is not None:
            raise ValueError(kept.refused)
        if kept.error is not None:
            raise StoreUnavailable(kept.error)

    def cancel_requested(self) -> bool:
        """See `RunReport.cancel_requested`."""
        return self._to_stop

    def stop(self) -> None:
        self._to_stop = True

    def close(self) -> None:
        """Send the latest progress, and nothing more.

        No message names its job: what a task or a thread that a handler left behind tells later
        would be taken for the next job's, which may be another caller's.
        """
        self.tell()
        self._closed = True

    def keep(self, kept: Kept) -> None:
        if self._kept is not None and not self._kept.done():
            self._kept.set_result(kept)


class _LogToPipe(logging.Handler):
    """Sends log records to the service, which writes them into its own log."""

    def __init__(self, pipe: _Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace_back = self._plain.formatException(record.exc_info) if record.exc_info else None
            self._pipe.say(Logged(record.name, record.levelno, record.getMessage(), trace_back))
        except Exception:  # noqa: BLE001  # as the standard handlers do: a bad log call must not break the caller
            self.handleError(record)


class Worker:
    """Does the jobs that the service sends."""

    def __init__(self, pipe: _Pipe, stream: asyncio.StreamReader, runner: Runner) -> None:
        self._pipe = pipe
        self._stream = stream
        self._runner = runner

    async def serve(self) -> None:
        """Do one job after another, until the service closes the pipe."""
        task: asyncio.Task[None] | None = None
        report: _Report | None = None
        while (data := await receive(self._stream)) is not None:
            match to_worker.decode(data):
                case Do(job=job, input=given):
                    report = _Report(self._pipe)
                    leased = LeasedJob(job, "", bytes(given))
                    task = asyncio.get_running_loop().create_task(self._do(leased, report))
                case Stop() if task is not None and report is not None:
                    report.stop()
                    task.cancel()
                case Kept() as kept if report is not None:
                    report.keep(kept)
                case _:
                    continue

    async def _do(self, leased: LeasedJob, report: _Report) -> None:
        try:
            outcome: JobOutcome | None = await self._runner.run(leased, report)
        except asyncio.CancelledError:
            outcome = None
        except Exception:  # noqa: BLE001  # a defect of ours: the service would wait for its end
            traceback.print_exc()
            os._exit(os.EX_SOFTWARE)
        report.close()
        self._pipe.say(_ended(outcome))


def _ended(outcome: JobOutcome | None) -> Ended:
    kind = None if outcome is None else type(outcome).__name__
    match outcome:
        case Succeeded(result=result):
            return Ended(kind, result=Raw(result))
        case Failed(code=code, detail=detail):
            return Ended(kind, code=code, detail=detail)
        case AttemptFailed(code=code, detail=detail, after_seconds=seconds):
            return Ended(kind, code=code, detail=detail, seconds=seconds)
        case Canceled(why=why):
            return Ended(kind, detail=why)
        case Snoozed(seconds=seconds):
            return Ended(kind, seconds=seconds)
        case _:
            return Ended(None)


def _runner_of(boot: Boot) -> Runner:
    """Import what declares the handler, as the service did."""
    sys.path[:] = boot.path
    if boot.file is None or _is_importable(boot):
        importlib.import_module(boot.module)
    else:
        import_file(Path(boot.file))
    found = declared(boot.job_type)
    if found is None:
        raise LookupError(
            f"importing {boot.module} does not declare the type {boot.job_type!r}: handlers with "
            "process=True are declared when their module is imported"
        )
    return found


def _is_importable(boot: Boot) -> bool:
    try:
        spec = importlib.util.find_spec(boot.module)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and _same(spec.origin, boot.file)


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)


async def _main(pipe: _Pipe, requests: Any) -> None:
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), requests)
    data = await receive(stream)
    if data is None:
        return
    boot = to_worker.decode(data)
    if not isinstance(boot, Boot):
        raise TypeError("the first message must be Boot")
    logging.getLogger().addHandler(_LogToPipe(pipe))
    logging.getLogger().setLevel(boot.level)
    try:
        runner = _runner_of(boot)
    except BaseException as error:  # noqa: BLE001  # a module's code can raise anything; the service tells of it
        traceback.print_exc()
        pipe.say(Ready(f"{type(error).__name__}: {error}"))
        return
    pipe.say(Ready())
    await Worker(pipe, stream, runner).serve()


def main() -> None:
    """Be a worker process until standard input ends."""
    requests = os.fdopen(os.dup(_STDIN), "rb", 0)
    answers = os.fdopen(os.dup(_STDOUT), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    os.dup2(_STDERR, _STDOUT)
    if sys.version_info >= (3, 14):  # the log keeps the end of it, which is to be Python's part
        faulthandler.enable(all_threads=False, c_stack=False)
    else:
        faulthandler.enable(all_threads=False)
    asyncio.run(_main(_Pipe(answers), requests))


if __name__ == "__main__":
    main()
