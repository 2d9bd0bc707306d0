"""The demo: real jobs, a receiver that fails first, verified callbacks, and a crash in between.

Everything is real: a service process on a SQLite file, a receiver on a socket, the example of
`examples/profile_csv` on its CSV file. The receiver verifies with the public `standardwebhooks`
package, as any receiver could.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .api import Api
from .process import Service, ServiceDied
from .receiver import Arrival, Receiver

ROOT = Path(__file__).resolve().parents[2]
APP = "examples/profile_csv/app.py"
# The secret of `--dev`, fixed and documented, so that a first receiver can verify at once.
DEV_SECRET = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # public
SCHEDULE = [0, 0.5, 1, 2, 2, 2, 2, 2]
FAILURES = 2
CRASH_JOBS = 6
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.1


class DemoFailed(Exception):
    """Something that the demo promises did not happen; the message says what."""


class Demo:
    """The steps, one after another."""

    def __init__(self, folder: Path, *, keep_running: bool) -> None:
        self._keep_running = keep_running
        self._begun = time.monotonic()
        self._names: dict[str, str] = {}
        # The first callback comes in while the job is still being watched: it is told of later.
        self._held: list[str] | None = []
        self._receiver = Receiver(
            DEV_SECRET, answer=lambda _id, seen: 500 if seen < FAILURES else 200
        )
        self._receiver.on_arrival = self._show_arrival
        self._service = Service(folder, app=str(ROOT / APP), dev=True)

    async def run(self) -> None:
        """All steps.

        Raises:
            DemoFailed: something did not happen that should have.
            ServiceDied: the service did not start.
        """
        try:
            await self._start()
            async with Api(self._service.url) as api:
                first = await self._first_job(api)
                await self._callback(api, first)
                await self._crash(api)
                await self._nothing_lost(api)
            self._look_around(first)
            if self._keep_running:
                await asyncio.Event().wait()
        finally:
            self._service.end()
            await self._receiver.stop()

    # --- the steps -----------------------------------------------------------------------------

    async def _start(self) -> None:
        self._title("A service and a receiver")
        await self._service.start()
        await self._receiver.start()
        self._say(f"dispatcher serve {APP} --dev --port {self._service.port}")
        self._say(f"It serves {self._service.url} and keeps everything in one SQLite file.")
        self._say(f"A receiver listens on {self._receiver.url}. It answers each callback with 500")
        self._say(f"the first {FAILURES} times, as a receiver does that has a bad day.")

    async def _first_job(self, api: Api) -> str:
        self._title("Submit a job: the answer comes at once")
        begun = time.monotonic()
        job = await self._submit(api, "orders", rows_per_second=300)
        took = (time.monotonic() - begun) * 1000
        self._say('POST /v1/jobs {"type": "csv.profile", "input": {"file": "orders.csv", …}, …}')
        self._say(f"202 after {took:.0f} ms: {job['id']}, {job['status']}. It is on disk now.")
        self._title("The job works; whoever asks sees how far it is")
        await self._watch(api, job["id"])
        return str(job["id"])

    async def _callback(self, api: Api, job_id: str) -> None:
        self._title("Its signed callback is retried until it lands")
        print("\n".join(self._held or ()), flush=True)
        self._held = None
        await self._until_accepted([job_id])
        arrival = self._receiver.accepted[job_id][0]
        result = arrival.event["data"]["result"]
        self._say(
            f"All {FAILURES + 1} came as {arrival.webhook_id}, so a receiver knows a repetition."
        )
        self._say("Each was verified with the public package `standardwebhooks`. It says:")
        self._say(f"  {result['rows']} rows, {len(result['columns'])} columns; of these")
        for column in [each for each in result["columns"] if each["misfits"]]:
            misfits = ", ".join(column["misfit_examples"])
            self._say(f"  {column['name']} is a {column['type']}, but for {misfits}")
        await self._until_recorded(api, job_id)
        self._say("GET /v1/jobs/{id} tells the same, and of its delivery: delivered, 3 attempts.")

    async def _crash(self, api: Api) -> None:
        self._title("kill -9 in the middle of it all")
        jobs = [
            await self._submit(api, f"crash-{n + 1}", rows_per_second=200 + 40 * n)
            for n in range(CRASH_JOBS)
        ]
        self._say(f"{len(jobs)} more jobs are accepted.")
        await self._until_some_run(api, [job["id"] for job in jobs])
        running = await self._statuses(api, [job["id"] for job in jobs])
        self._service.kill()
        self._say(f"SIGKILL, while they are {self._count(running)}. No goodbye, no clean-up.")
        begun = time.monotonic()
        await self._service.start()
        self._say(f"The same command again: ready after {time.monotonic() - begun:.1f} s.")

    async def _nothing_lost(self, api: Api) -> None:
        self._title("Nothing was lost")
        await self._until_accepted(list(self._names))
        for job_id, name in self._names.items():
            job = await api.job(job_id)
            ids = {arrival.webhook_id for arrival in self._receiver.accepted[job_id]}
            if job["status"] != "succeeded" or len(ids) != 1:
                raise DemoFailed(f"{name}: {job['status']}, {len(ids)} webhook-ids")
            again = "" if job["attemptCount"] == 1 else ": run again, for the first run died"
            self._say(f"{name:<8} {job['status']}{again}")
        if self._receiver.refused:
            raise DemoFailed(f"callbacks that do not verify: {self._receiver.refused}")
        self._say(f"{len(self._names)} jobs accepted, {len(self._names)} callbacks delivered.")

    def _look_around(self, job_id: str) -> None:
        self._title("Look around" if self._keep_running else "Done")
        if not self._keep_running:
            self._say("Without --once the demo keeps running, to look around.")
            return
        url = self._service.url
        self._say("In a browser or with curl:")
        for path, what in (
            ("/v1/jobs", "every job, newest first"),
            (f"/v1/jobs/{job_id}", "the first one"),
            (f"/v1/jobs/{job_id}/events", "what happened to it"),
            (f"/v1/jobs/{job_id}/deliveries", "its callback, with each attempt"),
            ("/v1/types", "what can be submitted, with schemas"),
        ):
            self._say(f"  {url}{path}  {what}")
        self._say("A job of your own (its callback goes to the service's own inbox):")
        self._say(f"  curl -s {url}/v1/jobs -H 'content-type: application/json' \\")
        self._say('    -d \'{"type":"csv.profile","input":{"file":"orders.csv"},')
        self._say(f'         "callbackUrl":"{url}/dev/inbox"}}\'')
        self._say(f"  curl -s {url}/dev/inbox")
        self._say("Ctrl-C ends the demo and removes what it made.")

    # --- their parts ---------------------------------------------------------------------------

    async def _submit(self, api: Api, name: str, *, rows_per_second: int) -> dict[str, Any]:
        answer = await api.submit(
            {
                "type": "csv.profile",
                "input": {"file": "orders.csv", "rows_per_second": rows_per_second},
                "callbackUrl": self._receiver.url,
                "callback": {"schedule": SCHEDULE},
                "correlationId": name,
            }
        )
        if answer.status != 202:
            raise DemoFailed(f"the submission was answered {answer.status}: {answer.json}")
        job: dict[str, Any] = answer.json
        self._names[job["id"]] = name
        return job

    async def _watch(self, api: Api, job_id: str) -> None:
        """Show the job's progress as it changes, until it is done."""
        shown = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                job = await api.job(job_id)
                line = str(job["status"])
                if job["progress"] is not None and not job["done"]:
                    line += f", {job['progress']['message']}"
                if line != shown:
                    self._say(line)
                    shown = line
                if job["done"]:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def _until_some_run(self, api: Api, job_ids: list[str]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            # What changes is in another process, so that no event of ours could tell.
            while True:
                if "running" in await self._statuses(api, job_ids):
                    break
                await asyncio.sleep(POLL_SECONDS)
        # Let them get on with it: a crash in the first moment would be too easy.
        await asyncio.sleep(1)

    async def _until_recorded(self, api: Api, job_id: str) -> None:
        """The receiver has answered; the service writes that down a moment later."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                delivery = (await api.job(job_id))["delivery"]
                if (delivery["status"], delivery["attemptCount"]) == ("delivered", FAILURES + 1):
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def _statuses(self, api: Api, job_ids: list[str]) -> list[str]:
        return [(await api.job(job_id))["status"] for job_id in job_ids]

    async def _until_accepted(self, job_ids: list[str]) -> None:
        def all_in() -> bool:
            return all(job_id in self._receiver.accepted for job_id in job_ids)

        if not await self._receiver.until(all_in, PATIENCE_SECONDS):
            missing = [each for each in job_ids if each not in self._receiver.accepted]
            raise DemoFailed(f"no callback within {PATIENCE_SECONDS:g} s for {', '.join(missing)}")

    def _show_arrival(self, arrival: Arrival) -> None:
        name = self._names.get(arrival.event["data"]["id"], "a job")
        told = "accepted" if arrival.accepted else "refused on purpose"
        line = self._line(
            f"{name:<8} {arrival.event['type']}, sent {_ordinal(arrival.attempt)}, signature good: "
            f"{arrival.answer}, {told}"
        )
        if self._held is None:
            print(line, flush=True)
        else:
            self._held.append(line)

    @staticmethod
    def _count(statuses: list[str]) -> str:
        return ", ".join(f"{statuses.count(each)} {each}" for each in sorted(set(statuses)))

    def _title(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def _say(self, text: str) -> None:
        print(self._line(text), flush=True)

    def _line(self, text: str) -> str:
        return f"  {time.monotonic() - self._begun:5.1f} s  {text}"


def _ordinal(attempt: int) -> str:
    return {1: "once", 2: "twice"}.get(attempt, f"{attempt} times")


async def demonstrate(*, once: bool) -> None:
    """Run the demo; SIGTERM and a closed terminal end it as Ctrl-C does, and nothing is left."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # a coroutine always runs in one
    for each in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, task.cancel)
    with tempfile.TemporaryDirectory(prefix="dispatcher-demo-") as folder:
        await Demo(Path(folder), keep_running=not once).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when all was delivered")
    given = parser.parse_args()
    try:
        asyncio.run(demonstrate(once=given.once))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nThe demo has ended; nothing of it is left.")
        return 130
    except (DemoFailed, ServiceDied, TimeoutError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
