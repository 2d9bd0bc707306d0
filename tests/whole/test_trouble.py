"""The disk is full, the database is locked, damaged, gone, or another's: the service says so.

It answers 503 rather than 202, keeps what it has, and goes on when it can.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from scripts.outside.api import Answer
from scripts.outside.process import Service, ServiceDied
from tests.whole.rig import GATE_APP, Gate, Rig, rig

pytestmark = pytest.mark.whole

PROMPT_SECONDS = 5.0


def assert_unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 503
    assert answer.json["code"] == "store-unavailable"


async def assert_goes_on(rigged: Rig, gate: Gate, job_ids: list[str]) -> None:
    """The jobs of before end, and the submission that was refused is accepted with its key."""
    job_ids.append(await rigged.submitted("dispatcher.echo", {"again": True}, key="refused"))
    for job_id in job_ids:
        assert (await rigged.callback(job_id)).event["data"]["status"] == "succeeded"
    assert await rigged.service.status_of("/readyz") == 200


async def assert_refuses_but_lives(rigged: Rig, gate: Gate, known: str) -> None:
    """No submission is accepted, which is told at once, and reading goes on."""
    async with asyncio.timeout(PROMPT_SECONDS):
        assert_unavailable(await rigged.submit("dispatcher.echo", {"again": True}, key="refused"))
    assert await rigged.service.status_of("/readyz") == 503
    assert await rigged.service.status_of("/healthz") == 200
    assert (await rigged.api.job(known))["id"] == known


async def test_a_locked_database_is_told_and_waited_for(gated: Rig, gate: Gate) -> None:
    known = await gated.submitted("gate.wait", gate.port)
    running = await gate.entered()
    with closing(sqlite3.connect(gated.service.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # The job ends while its end can't be written down.
        await gate.let_through(running)
        await assert_refuses_but_lives(gated, gate, known)
        other.execute("ROLLBACK")
    await assert_goes_on(gated, gate, [known])


async def test_a_full_disk_is_told_and_waited_for(gated: Rig, gate: Gate) -> None:
    """No file of the process may grow: SQLite takes it as a disk that is full.

    Unlike a small file system it needs no privilege, and it can be lifted from outside.
    """
    known = await gated.submitted("gate.wait", gate.port)
    running = await gate.entered()
    pid, free = gated.service.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8_192, free))
    await gate.let_through(running)
    await assert_refuses_but_lives(gated, gate, known)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (free, free))
    await assert_goes_on(gated, gate, [known])


async def test_a_file_that_was_taken_away_is_told_and_waited_for(gated: Rig, gate: Gate) -> None:
    """Nothing is taken in that would be gone with the process."""
    known = await gated.submitted("gate.wait", gate.port)
    running = await gate.entered()
    path = gated.service.database
    away = path.rename(path.with_name("away.db"))
    await gate.let_through(running)
    await assert_refuses_but_lives(gated, gate, known)
    away.rename(path)
    await assert_goes_on(gated, gate, [known])


def fill(filler: Path) -> None:
    """Leave no byte free."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65_536)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def make_room(filler: Path) -> None:
    filler.unlink()


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no mount namespace of one's own may be made here")
async def test_a_full_file_system_is_told_and_waited_for(tmp_path: Path, gate: Gate) -> None:
    """The same with a file system that really has no space left."""
    mounting = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=4m t {tmp_path}; exec "$@"']
    async with rig(tmp_path, app=GATE_APP, dev=True, wrapper=[*mounting, "sh"]) as small:
        known = await small.submitted("gate.wait", gate.port)
        running = await gate.entered()
        filler = Path(f"/proc/{small.service.pid}/root{tmp_path}/filler")
        fill(filler)
        await gate.let_through(running)
        await assert_refuses_but_lives(small, gate, known)
        make_room(filler)
        await assert_goes_on(small, gate, [known])


async def start_error(service: Service) -> str:
    """What the process says when it can't start; it must end by itself, and not with 0."""
    try:
        with pytest.raises(ServiceDied) as died:
            await service.start()
        assert await service.wait() == 1
    finally:
        service.end()
    assert "Traceback" not in service.log
    return str(died.value)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.database.write_bytes(b"This is a diary. " * 1_000)
    said = await start_error(service)
    assert str(service.database) in said
    assert service.database.read_bytes() == b"This is a diary. " * 1_000


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    service = Service(tmp_path)
    with closing(sqlite3.connect(service.database)) as other:
        other.execute("CREATE TABLE diary (day TEXT)")
    before = service.database.read_bytes()
    said = await start_error(service)
    assert str(service.database) in said
    assert service.database.read_bytes() == before


async def test_a_damaged_database_is_told_at_the_start(tmp_path: Path) -> None:
    async with rig(tmp_path) as first:
        await first.callback(await first.submitted())
        assert await first.service.stop() == 0
        content = bytearray(first.service.database.read_bytes())
        content[100:4_096] = b"\xff" * 3_996  # the header stays, the schema is gone
        first.service.database.write_bytes(content)
        assert str(first.service.database) in await start_error(first.service)


def damage(database: Path) -> None:
    """Write over everything but the first two pages."""
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xff" * (size - 8_192))


async def test_a_database_that_is_damaged_while_it_is_served_is_told_to_all(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as served:
        job_id = await served.submitted("dispatcher.echo", {"pad": "x" * 50_000})
        await served.callback(job_id)
        assert await served.service.stop() == 0  # so that nothing of it is remembered
        await served.service.start()
        damage(served.service.database)
        for answer in (await served.submit(), await served.api.call("GET", f"/v1/jobs/{job_id}")):
            assert (answer.status, answer.json["code"]) == (503, "store-broken")
            assert int(answer.headers["retry-after"]) >= 1
        assert await served.service.status_of("/readyz") == 503
        assert await served.service.status_of("/healthz") == 200
        await served.service.until_says(f"{served.service.database} is damaged")


async def test_without_the_key_of_its_secrets_it_does_not_start(tmp_path: Path) -> None:
    async with rig(tmp_path) as first:
        assert await first.service.stop() == 0
        key = tmp_path / "dispatcher.db.key"
        moved = key.rename(tmp_path / "elsewhere")
        assert str(key) in await start_error(first.service)
        moved.rename(key)
        await first.service.start()
        await first.callback(await first.submitted())


async def test_a_second_service_on_the_same_file_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as first:
        said = await start_error(Service(tmp_path))
        assert str(first.service.pid) in said
        await first.callback(await first.submitted())
