"""Kills the service at random moments under load, and looks whether anything was lost.

`ledger.py` says what must hold, however often it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from .api import Api
from .crash_app import FILE
from .ledger import Ledger, recorded
from .process import Service, ServiceDied
from .runs import read_runs

APP = str(Path(__file__).with_name("crash_app.py"))
RUNS = "service.runs"
SUBMITTERS = 6
ORDERED_SUBMITTERS = 2
SETTLE_SECONDS = 90.0
SHOWN_FAULTS = 20


class Trial(Struct, frozen=True, kw_only=True):
    """How hard to try. `pause_seconds` is the longest that a submitter waits between two jobs."""

    kills: int
    seed: int
    least_seconds: float = 0.2
    most_seconds: float = 1.2
    pause_seconds: float = 0.03


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it; `faults` is empty if every promise was kept."""

    kills: int
    kills_while_starting: int
    drains: int
    jobs: int
    submissions_sent_again: int
    replayed: int
    callbacks: int
    callbacks_accepted: int
    arrived_twice: int
    attempts_of_jobs: int
    ended_as: dict[str, int]
    faults: list[str]


class CrashTest:
    """One run, in a folder of its own."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._trial = trial
        # One for each, so that the kills of a seed are the same whatever the load draws.
        self._ledger = Ledger(trial.seed)
        self._kill_chance = random.Random(trial.seed)
        self._service = Service(
            folder,
            app=APP,
            allow=[self._ledger.receiver.origin],
            environment={"DISPATCHER_LOG_LEVEL": "warning", FILE: str(folder / RUNS)},
        )
        self._runs = folder / RUNS
        self._deaths: list[float] = []
        self._early_kills = 0
        self._drains = 0

    async def run(self) -> Outcome:
        """Load, kills, and the reckoning."""
        ledger = self._ledger
        caller = await self._service.create_caller("crash-test")
        ledger.receiver.secret = caller.secret
        await ledger.receiver.start()
        try:
            await self._service.start()
            async with Api(self._service.url, caller.api_key) as api:
                await self._under_load(api)
                # Every callback is in; then a drain, so that every attempt is recorded.
                await ledger.settle(SETTLE_SECONDS)
                await self._drain()
                await self._service.start()
                jobs = await recorded(api, SETTLE_SECONDS)
                await ledger.reckon_feed(api, jobs)
            ledger.reckon(jobs)
            ledger.reckon_runs(read_runs([self._runs]), {self._runs.stem: self._deaths}, ())
            await self._service.stop()
        except (ServiceDied, TimeoutError, RuntimeError) as error:
            ledger.faults.append(str(error))
            jobs = {}
        finally:
            self._service.end()
            await ledger.receiver.stop()
        return self._outcome(jobs)

    async def _under_load(self, api: Api) -> None:
        enough = asyncio.Event()
        pause_seconds = self._trial.pause_seconds
        async with asyncio.TaskGroup() as tasks:
            for number in range(SUBMITTERS):
                key = f"key-{number}" if number < ORDERED_SUBMITTERS else None
                tasks.create_task(
                    self._ledger.submit_until(
                        enough, lambda: api, pause_seconds=pause_seconds, ordering_key=key
                    )
                )
            tasks.create_task(self._ledger.follow_until(enough, lambda: api))
            try:
                for _ in range(self._trial.kills):
                    await self._kill_at_random()
            finally:
                enough.set()

    async def _kill_at_random(self) -> None:
        trial, chance = self._trial, self._kill_chance
        await asyncio.sleep(chance.uniform(trial.least_seconds, trial.most_seconds))
        if chance.random() < 0.2:  # now and then it is asked to stop first, under load
            await self._drain()
            await self._service.start()
            await asyncio.sleep(chance.uniform(trial.least_seconds, trial.most_seconds))
        self._kill()
        if chance.random() < 0.2:  # now and then the recovery is hit itself
            self._service.spawn()
            await asyncio.sleep(chance.uniform(0, 0.5))
            self._kill()
            self._early_kills += 1
        await self._service.start()

    def _kill(self) -> None:
        self._deaths.append(self._service.kill())

    async def _drain(self) -> None:
        self._drains += 1
        status = await self._service.stop(60)
        if status != 0:
            self._ledger.faults.append(f"the drain ended with {status}:\n{self._service.log}")

    def _outcome(self, jobs: dict[str, dict[str, Any]]) -> Outcome:
        ledger = self._ledger
        accepted = ledger.receiver.accepted
        return Outcome(
            kills=self._trial.kills + self._early_kills,
            kills_while_starting=self._early_kills,
            drains=self._drains,
            jobs=len(ledger.jobs),
            submissions_sent_again=ledger.sent_again,
            replayed=ledger.replayed,
            callbacks=len(ledger.receiver.arrivals),
            callbacks_accepted=len(accepted),
            arrived_twice=sum(1 for each in accepted.values() if len(each) > 1),
            attempts_of_jobs=sum(job["attemptCount"] for job in jobs.values()),
            ended_as=dict(Counter(job["status"] for job in jobs.values())),
            faults=ledger.faults,
        )


async def run(trial: Trial, folder: Path) -> Outcome:
    """Run one crash test in `folder`, which is empty and on a disk."""
    return await CrashTest(trial, folder).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="how often to kill (default 25)")
    parser.add_argument("--seed", type=int, help="to repeat a run: chance is drawn from it")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dispatcher-crash-") as folder:
        outcome = asyncio.run(run(Trial(kills=given.kills, seed=seed), Path(folder)))
    print(
        f"{outcome.kills} kills, {outcome.kills_while_starting} of them while starting; "
        f"{outcome.drains} drains\n"
        f"{outcome.jobs} jobs accepted, {outcome.submissions_sent_again} submissions sent again, "
        f"{outcome.replayed} found to be known\n"
        f"{outcome.attempts_of_jobs} attempts of jobs; ended as {outcome.ended_as}\n"
        f"{outcome.callbacks} callbacks arrived, {outcome.callbacks_accepted} jobs' accepted, "
        f"{outcome.arrived_twice} of them more than once"
    )
    for fault in outcome.faults[:SHOWN_FAULTS]:
        print(f"FAULT {fault}")
    print("nothing was lost" if not outcome.faults else f"{len(outcome.faults)} faults")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
