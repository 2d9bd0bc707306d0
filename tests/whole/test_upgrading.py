"""A rolling upgrade on PostgreSQL while jobs come in: migrate, then one process after another."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from scripts.outside.process import Service
from tests.store.postgres_server import empty_database
from tests.whole import newer
from tests.whole.rig import SECONDS, Rig, rig
from tests.whole.test_moving import command

pytestmark = pytest.mark.whole

NEWER = [sys.executable, newer.__file__]


class Traffic:
    """Submits without end to whichever service is up; what it is refused, it sends again."""

    def __init__(self, here: Rig, services: list[Service]) -> None:
        self.accepted: set[str] = set()
        self.answers: Counter[int] = Counter()
        self._here = here
        self._services = services
        self._stop = asyncio.Event()
        self._more = asyncio.Event()

    async def go(self, number: int) -> None:
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._here.api_key}"}
        ) as session:
            sent = 0
            while not self._stop.is_set():
                sent += 1
                await self._submit(session, f"{number}-{sent}")

    async def _submit(self, session: aiohttp.ClientSession, key: str) -> None:
        """One job, until it is accepted; a service that is down is asked later."""
        job = self._here.job(given=key, orderingKey=f"o{key[-1]}")
        turn = 0
        while True:
            service = self._services[turn % len(self._services)]
            turn += 1
            try:
                async with session.post(
                    f"{service.url}/v1/jobs", json=job, headers={"Idempotency-Key": key}
                ) as answer:
                    body = await answer.json()
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)  # between tries: that it serves again gives no signal
                continue
            self.answers[answer.status] += 1
            if answer.status == 202:
                self.accepted.add(body["id"])
                self._more.set()
                return
            assert answer.status == 503, body
            assert "Retry-After" in answer.headers
            await asyncio.sleep(0.05)

    async def accepted_more(self, count: int) -> None:
        """Once so many more than now were accepted."""
        wanted = len(self.accepted) + count
        async with asyncio.timeout(SECONDS):
            while len(self.accepted) < wanted:
                self._more.clear()
                await self._more.wait()

    def stop(self) -> None:
        self._stop.set()


async def test_nothing_is_lost_from_one_version_to_the_next(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    key = f"dsk_{'A' * 43}"
    async with empty_database() as url:
        environment = {"DISPATCHER_STORE": url, "DISPATCHER_SECRET_KEY": key}
        async with rig(folders[0], environment=environment) as here:
            services = [here.service, a_service(here, folders[1], environment)]
            traffic = Traffic(here, services)
            senders = []
            try:
                await services[1].start()
                senders = [asyncio.create_task(traffic.go(n)) for n in range(3)]
                await traffic.accepted_more(20)
                await migrated(url, folders[0], key)
                await traffic.accepted_more(20)
                for n, folder in enumerate(folders):
                    assert await services[n].stop() == 0
                    services[n].end()
                    services[n] = a_service(here, folder, environment, wrapper=NEWER)
                    await services[n].start()
                    await traffic.accepted_more(20)
                older = a_service(here, folders[0], environment)
                services.append(older)
                await older.start()  # going back to the version before is possible as well
                await traffic.accepted_more(20)
                traffic.stop()
                await asyncio.gather(*senders)
                for job_id in traffic.accepted:
                    await here.callback(job_id)
            finally:
                for sender in senders:
                    sender.cancel()
                for service in services:
                    service.end()
        assert set(traffic.answers) <= {202, 503}
        assert len(traffic.accepted) >= 100


def a_service(
    here: Rig, folder: Path, environment: dict[str, str], *, wrapper: list[str] | None = None
) -> Service:
    """One more on the same database; with `NEWER`, of the version that knows a migration more."""
    allow = [here.receiver.origin]
    return Service(folder, allow=allow, environment=environment, wrapper=wrapper or [])


async def migrated(url: str, folder: Path, key: str) -> None:
    """`dispatcher migrate` of the newer version, while the services of this one go on."""
    process = command(folder, "migrate", "--store", url, key=key, wrapper=NEWER)
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, out + err
    connection = await asyncpg.connect(url)
    try:
        newest = await connection.fetchval("SELECT max(number) FROM dispatcher.migration")
        assert newest == newer.MORE.number
    finally:
        await connection.close()
