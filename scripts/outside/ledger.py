"""What was submitted in a trial and what came of it: held against each other at the end.

What must hold: every submission that was answered 202 is one job, although its answer may have been
lost and it was sent again under the same Idempotency-Key; every job ends; every job's callback
arrives, verified; when it arrives twice it is the same one, by its webhook-id and byte for byte,
and it says how the job really ended. Of jobs with one `orderingKey` each callback comes for the
first time after the one before was accepted (which may come once more all the same, late). No two
handlers of one job run at the same time. Who follows the feed through all of it sees each event
once, in the order in which it stands at the end, and none is missing.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import aiohttp

from .api import Answer, Api
from .feed import Feed, faults_of
from .receiver import HANG_UP, Arrival, Receiver
from .runs import Halt, Run, overlaps

# Enough entries that even a receiver that fails at random is tried until it does not.
SCHEDULE: Final = [0, 0.2, 0.5] + [1] * 40
AGAIN_SECONDS: Final = 0.02
SHORT_SECONDS: Final = 0.4
LONG_PART: Final = 0.1


class Ledger:
    """Submits, receives, and finds what is wrong."""

    def __init__(
        self, seed: int, host: str = "127.0.0.1", *, longest_seconds: float = SHORT_SECONDS
    ) -> None:
        """Of the jobs that wait, one in ten waits for up to `longest_seconds`.

        Not of those that run in threads: nothing can stop one when its lease is lost.
        """
        self._chance = random.Random(seed)
        self._longest_seconds = longest_seconds
        self.receiver = Receiver(answer=self._answer, host=host)
        self._numbers = itertools.count()
        self.jobs: dict[int, str] = {}
        self._keys: dict[str, list[str]] = {}
        self.sent_again = 0
        self.replayed = 0
        self.faults: list[str] = []
        self.followed = Feed()

    # --- the load ------------------------------------------------------------------------------

    async def submit_until(
        self,
        enough: asyncio.Event,
        api: Callable[[], Api],
        *,
        pause_seconds: float,
        ordering_key: str | None = None,
    ) -> None:
        """Submit one job after another, each to the service that `api` gives."""
        while not enough.is_set():
            await self._submit(api, next(self._numbers), ordering_key)
            await asyncio.sleep(self._chance.uniform(0, pause_seconds))

    async def _submit(self, api: Callable[[], Api], number: int, ordering_key: str | None) -> None:
        """Submit one job, again and again under one key, until its 202 has come."""
        body = self._body(number, ordering_key)
        for attempt in itertools.count():
            self.sent_again += attempt > 0
            try:
                answer = await api().submit(body, f"trial-{number}")
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if answer.status == 202:
                self.replayed += answer.headers.get("idempotency-replayed") == "true"
                self.jobs[number] = answer.json["id"]
                if ordering_key is not None:
                    self._keys.setdefault(ordering_key, []).append(answer.json["id"])
                return
            if answer.status not in {409, 503}:
                self.faults.append(f"submission {number}: {answer.status} {answer.json}")
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def follow_until(self, enough: asyncio.Event, api: Callable[[], Api]) -> None:
        """Follow the feed, page by page, each from the service that `api` gives."""
        while not enough.is_set():
            try:
                answer = await api().call("GET", self.followed.path, headers={"Prefer": "wait=1"})
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if answer.status == 200:
                self.followed.read(answer.json)
                continue
            if answer.status != 503:
                self.faults.append(f"the feed answered {answer.status} {answer.json}")
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _body(self, number: int, ordering_key: str | None) -> dict[str, Any]:
        chance = self._chance
        seconds = round(chance.uniform(0, SHORT_SECONDS), 3)
        most = self._longest_seconds if chance.random() < LONG_PART else SHORT_SECONDS
        type_, given = chance.choice(
            [
                ("dispatcher.echo", {"number": number}),
                ("dispatcher.echo", {"number": number, "pad": "x" * chance.randrange(100_000)}),
                ("crash.sleep", round(chance.uniform(0, most), 3)),
                ("crash.thread", seconds),
                ("crash.again", None),
                ("crash.fragile", seconds),
                ("crash.talk", chance.randrange(4)),
            ]
        )
        callback: dict[str, Any] = {"schedule": SCHEDULE}
        body = {
            "type": type_,
            "input": given,
            "callbackUrl": self.receiver.url,
            "callback": callback,
            "correlationId": str(number),
        }
        if ordering_key is not None:
            body["orderingKey"] = ordering_key
            callback["ordered"] = True
        return body

    def _answer(self, _id: str, _seen: int) -> int:
        """The receiver is no good one: it fails at random, before or after it took note."""
        drawn = self._chance.random()
        if drawn < 0.15:  # the share of failures
            return 500
        return HANG_UP if drawn < 0.2 else 200  # the share of lost answers

    # --- the reckoning -------------------------------------------------------------------------

    async def settle(self, seconds: float) -> None:
        """Wait until every job's callback was accepted."""

        def all_in() -> bool:
            return len(self.receiver.accepted) >= len(self.jobs)

        if not await self.receiver.until(all_in, seconds):
            missing = set(self.jobs.values()) - set(self.receiver.accepted)
            self.faults.append(
                f"{len(missing)} callbacks have not arrived {seconds:g} s after the last "
                f"trouble: {sorted(missing)[:5]}"
            )

    def reckon(self, jobs: dict[str, dict[str, Any]]) -> None:
        """Hold what the service says, `jobs` by id, against what was submitted and received."""
        self.faults += [f"a callback that does not verify: {x}" for x in self.receiver.refused]
        doubled = Counter(job["correlationId"] for job in jobs.values())
        self.faults += [f"submission {n} made {c} jobs" for n, c in doubled.items() if c > 1]
        for number, job_id in self.jobs.items():
            self._reckon_job(number, job_id, jobs.get(job_id))
        by_job: dict[str, list[Arrival]] = {}
        for arrival in self.receiver.arrivals:
            by_job.setdefault(arrival.event["data"]["id"], []).append(arrival)
        for job_id, arrivals in by_job.items():
            self._reckon_arrivals(job_id, arrivals, jobs.get(job_id, {}).get("status"))
        for key, order in self._keys.items():
            self._reckon_order(key, order, by_job)

    def reckon_runs(
        self, runs: Iterable[Run], deaths: Mapping[str, Sequence[float]], halts: Sequence[Halt]
    ) -> None:
        """Hold the runs of handlers against each other; at what instants nodes died or halted."""
        self.faults += overlaps(runs, deaths, halts)

    async def reckon_feed(self, api: Api, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Follow the feed to its end, and hold it against itself and `jobs`, by id."""
        again = Feed()
        for feed in (self.followed, again):
            while feed.read((await _page(api, feed)).json):
                pass
        self.faults += faults_of(self.followed, again, jobs)

    def _reckon_job(self, number: int, job_id: str, job: dict[str, Any] | None) -> None:
        if job is None:
            self.faults.append(f"submission {number} was answered 202 and {job_id} is not there")
        elif not job["done"]:
            self.faults.append(f"{job_id} ({job['type']}) has not ended: {job['status']}")
        elif job["delivery"]["status"] != "delivered":
            self.faults.append(f"{job_id}: its delivery is {job['delivery']}")

    def _reckon_arrivals(self, job_id: str, arrivals: list[Arrival], status: str | None) -> None:
        if len({arrival.webhook_id for arrival in arrivals}) > 1:
            self.faults.append(f"{job_id}: its callback came under more than one webhook-id")
        if len({arrival.body for arrival in arrivals}) > 1:
            self.faults.append(f"{job_id}: its callback came with different bytes")
        event = arrivals[0].event
        told = event["data"]["status"]
        if told != status or event["type"] != f"job.{told}":
            self.faults.append(f"{job_id}: the callback says {told}, the job is {status}")

    def _reckon_order(self, key: str, order: list[str], by_job: dict[str, list[Arrival]]) -> None:
        places = {id(arrival): n for n, arrival in enumerate(self.receiver.arrivals)}
        for one, other in itertools.pairwise(order):
            accepted = [places[id(each)] for each in by_job.get(one, ()) if each.accepted]
            came = [places[id(each)] for each in by_job.get(other, ())]
            if came and (not accepted or min(came) < min(accepted)):
                self.faults.append(f"{key}: the callback of {other} came before that of {one}")


async def _page(api: Api, feed: Feed) -> Answer:
    """The next page of a feed that works; an empty one is its end."""
    answer = await api.call("GET", feed.path, headers={"Prefer": "wait=1"})
    if answer.status != 200:
        raise RuntimeError(f"the feed answered {answer.status} {answer.json}")
    return answer


async def recorded(api: Api, seconds: float) -> dict[str, dict[str, Any]]:
    """All jobs by id, once what came of each callback is recorded; after `seconds` as they are.

    A service that died after a receiver had answered could not say so: that callback is sent once
    more when its lease has ended.
    """
    until = time.monotonic() + seconds
    while True:
        jobs = {job["id"]: job async for job in api.jobs()}
        under_way = [job for job in jobs.values() if _is_open(job.get("delivery"))]
        if not under_way or time.monotonic() > until:
            return jobs
        await asyncio.sleep(0.5)


def _is_open(delivery: Mapping[str, Any] | None) -> bool:
    return delivery is not None and delivery["status"] in {"pending", "sending"}
