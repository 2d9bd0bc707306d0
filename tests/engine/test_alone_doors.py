"""Who is let in beside whom, when one is to be alone: the rule itself, without a store."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob
from dispatcher.core.facts import RunsAlone
from dispatcher.core.model import Job
from dispatcher.core.outcome import JobOutcome, Snoozed, Succeeded
from dispatcher.engine.alone import AGAIN_SECONDS, PATIENCE_SECONDS, SUSPECT_CRASHES, Alone
from dispatcher.ports.runner import RunReport
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.observer import RecordingObserver
from dispatcher.testing.timers import ManualTimers
from tests.engine.stage import ScriptedRunner
from tests.fact_samples import JOB

DONE = Succeeded(b"{}")


async def _never_run(leased: LeasedJob, report: RunReport) -> JobOutcome:
    raise AssertionError


class _Of(ScriptedRunner):
    def __init__(self, *, shares_process: bool) -> None:
        super().__init__(_never_run)
        self.shares_process = shares_process


def _suspect(kind: str) -> Job:
    return replace(JOB, type=kind, crash_count=SUSPECT_CRASHES)


class Doors:
    """Types that share the process (`in`) and that do not (`apart`, `remote`)."""

    def __init__(self) -> None:
        self.timers = ManualTimers(ManualClock())
        self.observer = RecordingObserver()
        runners = {
            "in": _Of(shares_process=True),
            "apart": _Of(shares_process=False),
            "remote": ScriptedRunner(_never_run),
        }
        self.alone = Alone(runners, self.timers, self.observer)
        self.opened = 0
        self.alone.on_open = self._open

    def _open(self) -> None:
        self.opened += 1

    async def coming(self, *, alone: bool) -> asyncio.Task[bool]:
        """One who has come, and is in or waits."""
        task = asyncio.create_task(self.alone.enter(alone=alone))
        await turns()
        return task


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def doors() -> Doors:
    return Doors()


async def test_while_one_is_alone_those_within_the_process_wait_and_no_others(
    doors: Doors,
) -> None:
    assert [doors.alone.keeps_out(each) for each in ("in", "apart", "remote")] == [False] * 3
    assert await doors.alone.enter(alone=True)
    assert [doors.alone.keeps_out(each) for each in ("in", "apart", "remote")] == [
        *(True, False, False)
    ]
    other, suspect = await doors.coming(alone=False), await doors.coming(alone=True)
    assert not other.done()
    assert not suspect.done()
    doors.alone.leave()  # the suspect has its turn before the other, who came first
    await turns()
    assert suspect.done()
    assert not other.done()
    assert (doors.opened, doors.alone.keeps_out("in")) == (0, True)
    doors.alone.leave()
    assert await other
    assert doors.opened == 1
    assert not doors.alone.closed


async def test_a_suspect_waits_for_all_inside_and_lets_nobody_in_meanwhile(doors: Doors) -> None:
    assert await doors.alone.enter(alone=False)
    assert await doors.alone.enter(alone=False)
    suspect, other = await doors.coming(alone=True), await doors.coming(alone=False)
    assert doors.alone.keeps_out("in")
    doors.alone.leave()
    await turns()
    assert not suspect.done()
    doors.alone.leave()
    assert await suspect
    assert not other.done()
    assert doors.timers.next_in is None


async def test_a_suspect_that_gives_up_keeps_nobody_out(doors: Doors) -> None:
    assert await doors.alone.enter(alone=False)
    suspect, other = await doors.coming(alone=True), await doors.coming(alone=False)
    doors.timers.advance(PATIENCE_SECONDS - 0.001)
    await turns()
    assert not suspect.done()
    doors.timers.advance(0.001)
    assert not await suspect
    assert await other
    assert not doors.alone.closed
    assert doors.opened == 1


async def test_who_is_canceled_while_he_waits_keeps_nobody_out(doors: Doors) -> None:
    assert await doors.alone.enter(alone=False)
    suspect, other = await doors.coming(alone=True), await doors.coming(alone=False)
    suspect.cancel()
    await turns()
    assert suspect.cancelled()
    assert await other
    assert doors.timers.next_in is None
    next_one = await doors.coming(alone=True)
    for _ in range(2):  # two are inside
        assert not next_one.done()
        doors.alone.leave()
        await turns()
    assert next_one.done()


@pytest.mark.parametrize("first", ["let in", "canceled"])
async def test_who_is_canceled_as_he_is_let_in_is_inside_no_more(doors: Doors, first: str) -> None:
    assert await doors.alone.enter(alone=True)
    suspect, other = await doors.coming(alone=True), await doors.coming(alone=False)
    if first == "canceled":
        suspect.cancel()
    doors.alone.leave()
    suspect.cancel()
    await turns()
    assert suspect.cancelled()
    assert await other
    assert not doors.alone.closed


@pytest.mark.parametrize("kind", ["apart", "remote"])
async def test_who_does_not_share_the_process_runs_beside_one_alone(
    doors: Doors, kind: str
) -> None:
    async def work() -> JobOutcome:
        return DONE

    job = _suspect(kind)
    assert await doors.alone.enter(alone=True)
    assert await asyncio.wait_for(doors.alone.run(job, work), 10) == DONE
    assert doors.observer.all(RunsAlone) == []


async def test_a_suspect_runs_alone_and_leaves_whatever_comes_of_it(doors: Doors) -> None:
    async def work() -> JobOutcome:
        assert doors.alone.closed
        raise KeyError

    job = _suspect("in")
    with pytest.raises(KeyError):
        await doors.alone.run(job, work)
    assert not doors.alone.closed
    assert [fact.job for fact in doors.observer.all(RunsAlone)] == [job]
    assert await doors.alone.enter(alone=False)
    waits = asyncio.create_task(doors.alone.run(job, work))
    await turns()
    doors.timers.advance(PATIENCE_SECONDS)
    assert await waits == Snoozed(AGAIN_SECONDS)
    assert len(doors.observer.all(RunsAlone)) == 1
