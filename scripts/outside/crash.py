"""Kills the service at random moments under load, and looks whether anything was lost.

What must hold, however often it is killed: every submission that was answered 202 is one job,
although its answer may have been lost and it was sent again under the same Idempotency-Key; every
job ends; every job's callback arrives, verified; when it arrives twice it is the same one, by its
webhook-id and byte for byte, and it says how the job really ended.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import Struct

from .api import Api
from .process import Service, ServiceDied
from .receiver import HANG_UP, Receiver

APP = str(Path(__file__).with_name("crash_app.py"))
SUBMITTERS = 6
SETTLE_SECONDS = 90.0
SHOWN_FAULTS = 20
# Enough entries that even a receiver that fails at random is tried until it does not.
SCHEDULE = [0, 0.2, 0.5] + [1] * 40


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
        self._chance = random.Random(trial.seed)
        self._kill_chance = random.Random(trial.seed)
        self._receiver = Receiver(answer=self._answer)
        self._service = Service(
            folder,
            app=APP,
            allow=[self._receiver.origin],
            environment={"DISPATCHER_LOG_LEVEL": "warning"},
        )
        self._numbers = itertools.count()
        self._jobs: dict[int, str] = {}
        self._sent_again = 0
        self._replayed = 0
        self._early_kills = 0
        self._drains = 0
        self._faults: list[str] = []

    async def run(self) -> Outcome:
        """Load, kills, and the reckoning."""
        caller = await self._service.create_caller("crash-test")
        self._receiver.secret = caller.secret
        await self._receiver.start()
        try:
            await self._service.start()
            async with Api(self._service.url, caller.api_key) as api:
                await self._under_load(api)
                await self._settle()
                jobs = {job["id"]: job async for job in api.jobs()}
            self._reckon(jobs)
            await self._service.stop()
        except (ServiceDied, TimeoutError) as error:
            self._faults.append(str(error))
            jobs = {}
        finally:
            self._service.end()
            await self._receiver.stop()
        return self._outcome(jobs)

    # --- the load ------------------------------------------------------------------------------

    async def _under_load(self, api: Api) -> None:
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(SUBMITTERS):
                tasks.create_task(self._submit_until(enough, api))
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
        self._service.kill()
        if chance.random() < 0.2:  # now and then the recovery is hit itself
            self._service.spawn()
            await asyncio.sleep(chance.uniform(0, 0.5))
            self._service.kill()
            self._early_kills += 1
        await self._service.start()

    async def _submit_until(self, enough: asyncio.Event, api: Api) -> None:
        while not enough.is_set():
            await self._submit(api, next(self._numbers))
            await asyncio.sleep(self._chance.uniform(0, self._trial.pause_seconds))

    async def _submit(self, api: Api, number: int) -> None:
        """Submit one job, again and again under one key, until its 202 has come."""
        body = self._body(number)
        for attempt in itertools.count():
            self._sent_again += attempt > 0
            try:
                answer = await api.submit(body, f"crash-{number}")
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.02)
                continue
            if answer.status == 202:
                self._replayed += answer.headers.get("idempotency-replayed") == "true"
                self._jobs[number] = answer.json["id"]
                return
            if answer.status not in {409, 503}:
                self._faults.append(f"submission {number}: {answer.status} {answer.json}")
                return
            await asyncio.sleep(0.02)

    def _body(self, number: int) -> dict[str, Any]:
        chance = self._chance
        seconds = round(chance.uniform(0, 0.4), 3)
        type_, given = chance.choice(
            [
                ("dispatcher.echo", {"number": number}),
                ("dispatcher.echo", {"number": number, "pad": "x" * chance.randrange(100_000)}),
                ("crash.sleep", seconds),
                ("crash.thread", seconds),
                ("crash.again", None),
                ("crash.fragile", seconds),
                ("crash.talk", chance.randrange(4)),
            ]
        )
        return {
            "type": type_,
            "input": given,
            "callbackUrl": self._receiver.url,
            "callback": {"schedule": SCHEDULE},
            "correlationId": str(number),
        }

    def _answer(self, _id: str, _seen: int) -> int:
        """The receiver is no good one: it fails at random, before or after it took note."""
        drawn = self._chance.random()
        if drawn < 0.15:  # the share of failures
            return 500
        return HANG_UP if drawn < 0.2 else 200  # the share of lost answers

    # --- the reckoning -------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Every callback is in; then a drain, so that every attempt is recorded, and a start."""

        def all_in() -> bool:
            return len(self._receiver.accepted) >= len(self._jobs)

        if not await self._receiver.until(all_in, SETTLE_SECONDS):
            missing = set(self._jobs.values()) - set(self._receiver.accepted)
            self._faults.append(
                f"{len(missing)} callbacks have not arrived {SETTLE_SECONDS:g} s after the last "
                f"kill: {sorted(missing)[:5]}"
            )
        await self._drain()
        await self._service.start()

    async def _drain(self) -> None:
        self._drains += 1
        status = await self._service.stop(60)
        if status != 0:
            self._faults.append(f"the drain ended with {status}:\n{self._service.log}")

    def _reckon(self, jobs: dict[str, dict[str, Any]]) -> None:
        blame = self._faults.append
        self._faults += [f"a callback that does not verify: {x}" for x in self._receiver.refused]
        doubled = Counter(job["correlationId"] for job in jobs.values())
        self._faults += [f"submission {n} made {c} jobs" for n, c in doubled.items() if c > 1]
        for number, job_id in self._jobs.items():
            job = jobs.get(job_id)
            if job is None:
                blame(f"submission {number} was answered 202 and {job_id} is not there")
            elif not job["done"]:
                blame(f"{job_id} ({job['type']}) has not ended: {job['status']}")
            elif job["delivery"]["status"] != "delivered":
                blame(f"{job_id}: its delivery is {job['delivery']}")
        by_job: dict[str, list[Any]] = {}
        for arrival in self._receiver.arrivals:
            by_job.setdefault(arrival.event["data"]["id"], []).append(arrival)
        for job_id, arrivals in by_job.items():
            if len({arrival.webhook_id for arrival in arrivals}) > 1:
                blame(f"{job_id}: its callback came under more than one webhook-id")
            if len({arrival.body for arrival in arrivals}) > 1:
                blame(f"{job_id}: its callback came with different bytes")
            told, is_ = arrivals[0].event["data"]["status"], jobs.get(job_id, {}).get("status")
            if told != is_ or arrivals[0].event["type"] != f"job.{told}":
                blame(f"{job_id}: the callback says {told}, the job is {is_}")

    def _outcome(self, jobs: dict[str, dict[str, Any]]) -> Outcome:
        accepted = self._receiver.accepted
        return Outcome(
            kills=self._trial.kills + self._early_kills,
            kills_while_starting=self._early_kills,
            drains=self._drains,
            jobs=len(self._jobs),
            submissions_sent_again=self._sent_again,
            replayed=self._replayed,
            callbacks=len(self._receiver.arrivals),
            callbacks_accepted=len(accepted),
            arrived_twice=sum(1 for each in accepted.values() if len(each) > 1),
            attempts_of_jobs=sum(job["attemptCount"] for job in jobs.values()),
            ended_as=dict(Counter(job["status"] for job in jobs.values())),
            faults=self._faults,
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
