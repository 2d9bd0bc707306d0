"""Who was running at two crashes runs alone: nothing else of this process's handlers beside it.

A handler within the process that kills it takes all the others with it, and nobody knows which it
was. Each of them is a suspect after the second time. Run alone, the one that did it is used up by
its attempts, and the others end well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dispatcher.core.facts import RunsAlone
from dispatcher.core.model import Job
from dispatcher.core.outcome import JobOutcome, Snoozed
from dispatcher.ports.observer import Observer
from dispatcher.ports.runner import Runner, SharesProcess
from dispatcher.ports.system import Timers

SUSPECT_CRASHES: Final = 2
"""A job that was running at so many crashes is a suspect."""

PATIENCE_SECONDS: Final = 30.0
"""A suspect waits so long for the others to end; nothing else begins meanwhile."""

AGAIN_SECONDS: Final = 60.0
"""If they don't, it is put back for so long, so that one long job does not stop all the others."""


def is_suspect(job: Job) -> bool:
    """Whether a job is to run alone."""
    return job.crash_count >= SUSPECT_CRASHES


class Alone:
    """Lets jobs in side by side, or one alone.

    From when a suspect waits nobody else is let in; when those inside have left it is, and when no
    suspect waits any more all others are. `on_open` is called when that is so.
    """

    def __init__(self, runners: Mapping[str, Runner], timers: Timers, observer: Observer) -> None:
        self._timers = timers
        self._observer = observer
        self._side_by_side = {
            name
            for name, runner in runners.items()
            if isinstance(runner, SharesProcess) and runner.shares_process
        }
        self._inside = 0
        self._one_alone = False
        self._suspects: deque[asyncio.Future[bool]] = deque()
        self._others: deque[asyncio.Future[bool]] = deque()
        self.on_open: Callable[[], None] | None = None

    @property
    def closed(self) -> bool:
        """Whether a suspect is inside, or waits to be."""
        return self._one_alone or bool(self._suspects)

    def keeps_out(self, job_type: str) -> bool:
        """Whether a job of this type could not begin now."""
        return self.closed and job_type in self._side_by_side

    async def run(self, job: Job, work: Callable[[], Awaitable[JobOutcome]]) -> JobOutcome:
        """Have a job done: beside others, or alone if it is to run so."""
        if job.type not in self._side_by_side:
            return await work()
        alone = is_suspect(job)
        if not await self.enter(alone=alone):
            return Snoozed(AGAIN_SECONDS)
        try:
            if alone:
                self._observer.saw(RunsAlone(job))
            return await work()
        finally:
            self.leave()

    async def enter(self, *, alone: bool) -> bool:
        """Wait to be let in, and `leave` after it; False: the others did not end in time."""
        if alone:
            if not self._inside and not self.closed:
                self._let_in(alone=True)
                return True
            return await self._wait(self._suspects, PATIENCE_SECONDS)
        if not self.closed:
            self._let_in(alone=False)
            return True
        return await self._wait(self._others, None)

    def leave(self) -> None:
        """Go; whoever waits for that is let in."""
        self._inside -= 1
        self._one_alone = False
        self._admit()

    def _let_in(self, *, alone: bool) -> None:
        self._inside += 1
        self._one_alone = alone

    async def _wait(self, queue: deque[asyncio.Future[bool]], seconds: float | None) -> bool:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        queue.append(turn)

        def give_up() -> None:
            _tell(turn, False)

        alarm = None if seconds is None else self._timers.after(seconds, give_up)
        try:
            entered = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # it was let in and canceled in the same turn of the loop
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
            if turn in queue:  # it gave up: others may have waited for that
                queue.remove(turn)
                self._admit()
        return entered

    def _admit(self) -> None:
        while self._suspects and not self._inside:
            turn = self._suspects.popleft()
            if _tell(turn, True):
                self._let_in(alone=True)
                return
        if self.closed:
            return
        while self._others:
            if _tell(self._others.popleft(), True):
                self._let_in(alone=False)
        if self.on_open is not None:
            self.on_open()


def _tell(turn: asyncio.Future[bool], entered: bool) -> bool:  # what is told
    if turn.done():
        return False
    turn.set_result(entered)
    return True
