"""What the tests of those who wait and listen share."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import Progress
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.engine.waiters import Waiters
from dispatcher.ports.runner import RunReport
from tests.web.sse_reader import Reader, opened
from tests.web.test_whole_path import Service

PLAIN = {"type": "work", "input": {"n": 1}}
LATER = PLAIN | {"delaySeconds": 60}
TELLING = PLAIN | {
    "callbackUrl": "https://receiver.example/hook",
    "callback": {"events": ["job.started", "job.progress", "job.output", "job.succeeded"]},
}


class Told:
    """A handler that says what a test has it say, and then succeeds with `result`."""

    def __init__(self, result: bytes = b'"done"') -> None:
        self.begun = asyncio.Event()
        self._result = result
        self._says: asyncio.Queue[Progress | bytes | None] = asyncio.Queue()

    async def __call__(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        self.begun.set()
        while (word := await self._says.get()) is not None:
            if isinstance(word, Progress):
                report.progress(word)
            else:
                await report.output(word)
        return Succeeded(self._result)

    def progress(self, current: int) -> None:
        self._says.put_nowait(Progress(current, 10))

    def output(self, output: bytes) -> None:
        self._says.put_nowait(output)

    def ends(self) -> None:
        self._says.put_nowait(None)


async def until_resting(waiters: Waiters, count: int = 1) -> None:
    """Return once so many wait for something to happen, having read all there is."""
    async with asyncio.timeout(10):
        while _resting(waiters) < count:  # noqa: ASYNC110  # who comes to rest signals nobody
            await asyncio.sleep(0)


async def until_nobody(waiters: Waiters) -> None:
    """Return once nobody waits and nothing is open."""
    async with asyncio.timeout(10):
        while _present(waiters):  # noqa: ASYNC110  # nor does who leaves
            await asyncio.sleep(0)


def _present(waiters: Waiters) -> bool:
    places = waiters.streams.taken or waiters.waits.taken
    return bool(waiters._jobs or waiters._callers or places)


def _resting(waiters: Waiters) -> int:
    groups = [*waiters._jobs.values(), *waiters._callers.values()]
    return sum(1 for group in groups for each in group if each._future is not None)


def stream(
    here: Service,
    path: str,
    *,
    key: str | None = None,
    last_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> AbstractAsyncContextManager[Reader]:
    """A stream of the service; its caller's unless `key` says otherwise."""
    url = f"http://127.0.0.1:{here.edge.port}{path}"
    return opened(url, key or here.stage.caller.id, last_id=last_id, headers=headers)
