"""Three nodes on one PostgreSQL with a standby: killed, cut off, halted, failed over, under load.

Each runs in a network namespace of its own. Nodes are killed and started again, cut off from the
database and mended, drained, and halted for longer than their leases last; the primary is killed
and its standby takes over, and the old one comes back as its standby. `ledger.py` says what must
hold. It needs root, for the namespaces; nothing of it touches the machine's own network.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from .api import Api
from .crash_app import FILE
from .database import Server
from .ledger import Ledger, recorded
from .network import FRONT, INSIDE, Host, Network, alone, can_isolate
from .process import Service, ServiceDied
from .runs import Halt, read_runs

APP: Final = str(Path(__file__).with_name("crash_app.py"))
NODES: Final = 3
SUBMITTERS: Final = 6
ORDERED_SUBMITTERS: Final = 2
LEASE_SECONDS: Final = 4.0
SETTLE_SECONDS: Final = 120.0
SHOWN_FAULTS: Final = 20
SHOWN_LOG: Final = 4_000
PORT: Final = 8080


class Trial(Struct, frozen=True, kw_only=True):
    """How many troubles, besides `failovers` of the database spread among them."""

    troubles: int
    failovers: int
    seed: int
    pause_seconds: float = 0.05


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it; `faults` is empty if every promise was kept.

    `course` tells what was done when, and then what each node said last.
    """

    troubles: dict[str, int]
    jobs: int
    submissions_sent_again: int
    callbacks: int
    arrived_twice: int
    seconds: float
    faults: list[str]
    course: list[str]


class FailoverTest:
    """One run, in a folder of its own and a network that this process has made."""

    def __init__(self, trial: Trial, folder: Path, network: Network) -> None:
        self._trial = trial
        self._network = network
        self._chance = random.Random(trial.seed)
        # Some handlers still run when another node may have their job: an overlap would show.
        self._ledger = Ledger(trial.seed, f"{FRONT}.1", longest_seconds=2 * LEASE_SECONDS)
        places = [network.host(f"database-{n}", 2 + n) for n in range(2)]
        self._primary, self._standby = (
            Server(folder / each.name, each.back, each.enter) for each in places
        )
        self._hosts = [network.host(f"node-{n}", 11 + n) for n in range(NODES)]
        self._runs = {each.name: folder / f"{each.name}.runs" for each in self._hosts}
        self._deaths: dict[str, list[float]] = {each.name: [] for each in self._hosts}
        self._halts: list[Halt] = []
        self._store = (
            f"postgresql://postgres@{places[0].back}:5432,{places[1].back}:5432/dispatcher"
        )
        self._nodes = [self._node(folder, host) for host in self._hosts]
        self._troubles: Counter[str] = Counter()
        self._course: list[str] = []

    def _node(self, folder: Path, host: Host) -> Service:
        (folder / host.name).mkdir()
        return Service(
            folder / host.name,
            app=APP,
            allow=[self._ledger.receiver.origin],
            port=PORT,
            host=host.front,
            wrapper=host.enter,
            environment={
                "DISPATCHER_STORE": self._store,
                "DISPATCHER_SECRET_KEY": f"dsk_{'A' * 43}",
                "DISPATCHER_LOG_LEVEL": "warning",
                "DISPATCHER_LEASE_SECONDS": str(LEASE_SECONDS),
                FILE: str(self._runs[host.name]),
            },
        )

    async def run(self) -> Outcome:
        """Load, troubles, and the reckoning."""
        began = time.monotonic()
        ledger = self._ledger
        try:
            await asyncio.to_thread(self._start_databases)
            await self._nodes[0].start()  # it makes the schema
            caller = await self._nodes[0].create_caller("failover-test")
            ledger.receiver.secret = caller.secret
            await ledger.receiver.start()
            for each in self._nodes[1:]:
                await each.start()
            async with AsyncExitStack() as opened:
                apis = [
                    await opened.enter_async_context(Api(node.url, caller.api_key, seconds=5))
                    for node in self._nodes
                ]
                await self._under_load(apis)
                await ledger.settle(SETTLE_SECONDS)
                for each in self._nodes:  # so that every attempt is recorded
                    await self._drain(each)
                await self._nodes[0].start()
                jobs = await recorded(apis[0], SETTLE_SECONDS)
                ledger.reckon(jobs)
                ledger.reckon_runs(read_runs(self._runs.values()), self._deaths, self._halts)
                await ledger.reckon_feed(apis[0], jobs)
        except* (ServiceDied, TimeoutError, RuntimeError) as several:
            ledger.faults += [f"{type(each).__name__}: {each}" for each in several.exceptions]
        finally:
            for each in self._nodes:
                each.end()
            await ledger.receiver.stop()
            self._primary.remove()
            self._standby.remove()
        return self._outcome(time.monotonic() - began)

    def _start_databases(self) -> None:
        self._primary.create()
        self._primary.start()
        self._primary.ask("CREATE DATABASE dispatcher")
        self._standby.follow(self._primary)
        self._primary.until_followed()
        self._primary.wait_for_standby(required=True)

    # --- the load and the troubles -------------------------------------------------------------

    async def _under_load(self, apis: list[Api]) -> None:
        enough = asyncio.Event()
        places = random.Random(self._trial.seed + 1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(SUBMITTERS):
                key = f"key-{number}" if number < ORDERED_SUBMITTERS else None
                tasks.create_task(
                    self._ledger.submit_until(
                        enough,
                        lambda: places.choice(apis),
                        pause_seconds=self._trial.pause_seconds,
                        ordering_key=key,
                    )
                )
            tasks.create_task(self._ledger.follow_until(enough, lambda: places.choice(apis)))
            try:
                for trouble in self._plan():
                    await asyncio.sleep(self._chance.uniform(0.2, 1.0))
                    self._troubles[trouble.__name__.strip("_")] += 1
                    self._note(trouble.__name__.strip("_"))
                    await trouble()
                    self._note("over")
            finally:
                enough.set()

    def _plan(self) -> list[Callable[[], Awaitable[None]]]:
        of_nodes = [self._kill, self._cut_off, self._drain_and_start, self._halt, self._restart]
        plan: list[Callable[[], Awaitable[None]]] = [
            of_nodes[n % len(of_nodes)] for n in range(self._trial.troubles)
        ]
        plan += [self._fail_over] * self._trial.failovers
        self._chance.shuffle(plan)
        return plan

    def _note(self, what: str) -> None:
        """Remember when something was done: by the clock of what handlers note."""
        self._course.append(f"{time.monotonic():.3f} {what}")

    def _any_node(self) -> tuple[Service, Host]:
        number = self._chance.randrange(NODES)
        self._note(self._hosts[number].name)
        return self._nodes[number], self._hosts[number]

    async def _kill(self) -> None:
        """A node dies; others take over what it held once its lease has ended."""
        node, host = self._any_node()
        self._deaths[host.name].append(node.kill())
        await asyncio.sleep(self._chance.uniform(0, 2 * LEASE_SECONDS))
        await node.start()

    async def _cut_off(self) -> None:
        """A node can't reach the database for longer than its leases last."""
        _, host = self._any_node()
        self._network.cut(host)
        await asyncio.sleep(self._chance.uniform(0.5, 2 * LEASE_SECONDS))
        self._network.mend(host)

    async def _drain_and_start(self) -> None:
        """A node is stopped as for an upgrade."""
        node, _ = self._any_node()
        await self._drain(node)
        await node.start()

    async def _halt(self) -> None:
        """A node's machine stands still, and then goes on as if nothing had been."""
        node, host = self._any_node()
        since = time.monotonic()
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.5, 2 * LEASE_SECONDS))
        self._halts.append(Halt(host.name, since, time.monotonic()))
        node.signal(signal.SIGCONT)

    async def _restart(self) -> None:
        """The database is restarted."""
        await asyncio.to_thread(self._primary.stop)
        await asyncio.to_thread(self._primary.start)

    async def _fail_over(self) -> None:
        """The primary dies, its standby takes over; the old one comes back as its standby."""
        self._primary.kill()
        self._primary, self._standby = self._standby, self._primary
        await asyncio.to_thread(self._primary.promote)
        await asyncio.sleep(self._chance.uniform(0, 2.0))
        await asyncio.to_thread(self._standby.follow, self._primary)
        await asyncio.to_thread(self._primary.until_followed)
        self._primary.wait_for_standby(required=True)

    async def _drain(self, node: Service) -> None:
        status = await node.stop(60)
        if status != 0:
            self._ledger.faults.append(f"a drain ended with {status}:\n{node.log}")

    def _outcome(self, seconds: float) -> Outcome:
        ledger = self._ledger
        return Outcome(
            troubles=dict(self._troubles),
            jobs=len(ledger.jobs),
            submissions_sent_again=ledger.sent_again,
            callbacks=len(ledger.receiver.arrivals),
            arrived_twice=sum(1 for each in ledger.receiver.accepted.values() if len(each) > 1),
            seconds=seconds,
            faults=ledger.faults,
            course=self._course + [f"{each.url}: {each.log[-SHOWN_LOG:]}" for each in self._nodes],
        )


def run(trial: Trial) -> Outcome:
    """Run one trial; this process is in a network namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="dispatcher-failover-") as folder, Network() as network:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else
        return asyncio.run(FailoverTest(trial, Path(folder), network).run())


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/failover", description=__doc__)
    parser.add_argument("--troubles", type=int, default=20, help="of nodes (default 20)")
    parser.add_argument("--failovers", type=int, default=4, help="of the database (default 4)")
    parser.add_argument("--seed", type=int, help="to repeat a run: chance is drawn from it")
    given = parser.parse_args()
    if INSIDE not in os.environ:
        if not can_isolate():
            print("network namespaces can't be made here: this needs root, ip, nsenter, unshare")
            return 2
        return alone("scripts.outside.failover", sys.argv[1:])
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    outcome = run(Trial(troubles=given.troubles, failovers=given.failovers, seed=seed))
    print(
        f"{outcome.seconds:.0f} s; {outcome.troubles}\n"
        f"{outcome.jobs} jobs accepted, {outcome.submissions_sent_again} submissions sent again\n"
        f"{outcome.callbacks} callbacks arrived, those of {outcome.arrived_twice} jobs twice"
    )
    for fault in outcome.faults[:SHOWN_FAULTS]:
        print(f"FAULT {fault}")
    if outcome.faults:
        print("\n".join(outcome.course))
    print("nothing was lost" if not outcome.faults else f"{len(outcome.faults)} faults")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
