"""Who was running at two crashes runs alone: nothing else of this process's handlers beside it.

A handler within the process that kills it takes all the others with it, and nobody knows which it
was. Each of them is a suspect after the second time. Run alone, the one that did it is used up by
its attempts, and the others end well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from dispatcher.core.facts import RunsAlone
from dispatcher.core.model import Job
from dispatcher.core.outcome import GivenBack, JobOutcome, Snoozed
from dispatcher.ports.observer import Observer
from dispatcher.ports.runner import Runner, SharesProcess
from dispatcher.ports.system import Timers

SUSPECT_CRASHES: Final = 2
"""A job that was running at so many crashes is a suspect."""

PATIENCE_SECONDS: Final = 30.0
"""A suspect waits so long for the others to end; nothing else begins meanwhile. If it was in vain
the others have at least as long before another suspect waits."""

AGAIN_SECONDS: Final = 60.0
"""If they don't, it is put back for so long, so that one long job does not stop all the others."""


def is_suspect(job: Job) -> bool:
    """Whether a job is to run alone."""
    return job.crash_count >= SUSPECT_CRASHES


class Alone:
    """Lets jobs run side by side, or one alone.

    From when a suspect has come nobody else begins. Who comes is turned away, other suspects too: a
    job that was leased when the suspect crashes the process would have lost an attempt by it. So
    the suspect begins when nothing else is here, and that is when those who were turned away have
    been given back. `on_open` is called when others may begin again.
    """

    def __init__(self, runners: Mapping[str, Runner], timers: Timers, observer: Observer) -> None:
        self._timers = timers
        self._observer = observer
        self._side_by_side = {
            name
            for name, runner in runners.items()
            if isinstance(runner, SharesProcess) and runner.shares_process
        }
        self._here = 0
        self._closed = False
        self._resting = False
        self._one_by_one = False
        self._turn: asyncio.Future[bool] | None = None
        self.on_open: Callable[[], None] | None = None

    def keeps_out(self, job_type: str) -> bool:
        """Whether a job of this type could not begin now."""
        return self._closed and job_type in self._side_by_side

    def most(self, job_type: str, count: int) -> int:
        """How many jobs of a type to claim, of so many for which there is room.

        One, when the last suspect was not the only one: a claim of them all would give back all but
        one, each time. When another job begins they are claimed as ever.
        """
        if self.keeps_out(job_type):
            return 0
        return 1 if self._one_by_one and job_type in self._side_by_side else count

    def came(self, job_type: str) -> None:
        """A job was, or may have been, leased to this process.

        `went` is called for it when its end was written, or when it is known that it was not.
        """
        if job_type in self._side_by_side:
            self._here += 1

    def went(self, job_type: str) -> None:
        """A job that came is no longer leased to this process, or its lease is lost."""
        if job_type in self._side_by_side:
            self._here -= 1
            if self._turn is not None and self._here == 1:
                _tell(self._turn, True)

    @contextmanager
    def claim(self, job_types: Iterable[str]) -> Iterator[None]:
        """Around a claim of these types: what it leases is here before anybody knows of it."""
        types = list(job_types)
        for job_type in types:
            self.came(job_type)
        try:
            yield
        finally:
            for job_type in types:
                self.went(job_type)

    async def run(
        self, job: Job, work: Callable[[], Awaitable[JobOutcome | None]]
    ) -> JobOutcome | None:
        """Have a job that came done: beside others, or alone if it is to run so."""
        if job.type not in self._side_by_side:
            return await work()
        suspect = is_suspect(job)
        if self._closed:
            self._one_by_one = self._one_by_one or suspect
            return GivenBack()
        self._one_by_one = False
        if not suspect:
            return await work()
        if self._resting and self._here > 1:
            return Snoozed(AGAIN_SECONDS)
        self._closed = True
        try:
            if not await self._others_went():
                self._rest()
                return Snoozed(AGAIN_SECONDS)
            self._observer.saw(RunsAlone(job))
            return await work()
        finally:
            self._closed = False
            if self.on_open is not None:
                self.on_open()

    def _rest(self) -> None:
        """Let the others begin: suspects that wait one after another would keep them out."""
        self._resting = True

        def over() -> None:
            self._resting = False

        self._timers.after(PATIENCE_SECONDS, over)

    async def _others_went(self) -> bool:
        """Wait until the one that asks is alone here; False: the others did not end in time."""
        if self._here == 1:
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._turn = turn

        def give_up() -> None:
            _tell(turn, False)

        alarm = self._timers.after(PATIENCE_SECONDS, give_up)
        try:
            return await turn
        finally:
            alarm.cancel()
            self._turn = None


def _tell(turn: asyncio.Future[bool], alone: bool) -> None:  # what is told
    if not turn.done():
        turn.set_result(alone)
