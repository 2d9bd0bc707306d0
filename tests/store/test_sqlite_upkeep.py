"""The log, pruning, pages, slots that change, and the lock of the file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.adapters.sqlite import ServeLock, pruning, reading, schema
from dispatcher.adapters.sqlite.checkpoint import Checkpointer
from dispatcher.core.changes import ReleaseDelivery
from dispatcher.core.errors import StoreLocked, StoreUnavailable
from dispatcher.core.model import Callback, Progress
from dispatcher.core.payload import callback_body
from dispatcher.core.retry import Schedule
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS
from dispatcher.ports.portions import LOOK_FACTOR
from dispatcher.ports.records import Applied, DeliveryTerms, JobClaim
from dispatcher.ports.views import JobFilter
from tests.store.sqlite_scene import CALLER, ORIGIN, TERMS, SqliteScene, sqlite_scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as scene:
        yield scene


class TestTheLog:
    async def test_it_does_not_grow_without_end(self, tmp_path: Path) -> None:
        scene = SqliteScene(tmp_path / "store.db")
        step, cut = 200_000, 2_000_000
        scene.store._checkpointer = watch = Checkpointer(scene.path, step_bytes=step, cut_bytes=cut)
        scene.store._writer._after_commit = watch.after_commit
        await scene.store.open()
        log = scene.path.with_name("store.db-wal")
        sizes = []
        for _ in range(150):
            await scene.store.add_jobs([scene.new(scene.job(), body=b"x" * 100_000)])
            sizes.append(log.stat().st_size)
        await scene.store.close()
        assert scene.path.stat().st_size > 15_000_000
        assert max(sizes) < 2 * cut

    async def test_it_is_found_behind_a_link(self, tmp_path: Path) -> None:
        """SQLite puts it beside the file that a link leads to."""
        (tmp_path / "volume").mkdir()
        link = tmp_path / "store.db"
        link.symlink_to(tmp_path / "volume" / "store.db")
        async with sqlite_scene(tmp_path) as scene:
            await scene.store.add_jobs([scene.new(scene.job(), body=b"x" * 100_000)])
            assert scene.store._checkpointer._size() > 100_000

    async def test_it_is_written_over_and_cut(self, tmp_path: Path) -> None:
        """Step by step, without the thread: what it does is told by the size of the log."""
        async with sqlite_scene(tmp_path) as scene:
            log = scene.path.with_name("store.db-wal")
            watch = Checkpointer(scene.path, step_bytes=50_000, cut_bytes=500_000)

            async def write(size: int) -> None:
                await scene.store.add_jobs([scene.new(scene.job(), body=b"x" * size)])

            def checkpoint() -> None:
                watch.after_commit()
                assert watch._moving.is_set()
                watch._move()
                watch.after_commit()

            await write(100_000)
            checkpoint()
            size = log.stat().st_size
            await write(10_000)
            assert log.stat().st_size == size  # the log began anew in the same file
            await write(600_000)
            checkpoint()
            assert log.stat().st_size == 0
            watch._disconnect()


class TestPruning:
    async def test_jobs_that_owe_a_delivery_do_not_block_those_behind_them(
        self, scene: SqliteScene
    ) -> None:
        limit = 2
        await scene.ended(limit * LOOK_FACTOR + 1, ORIGIN)  # never delivered
        await scene.ended(3)
        scene.clock.advance(3601)
        owing = limit * LOOK_FACTOR + 1
        assert await scene.store.prune(limit) == limit  # nothing went, but there is more to look at
        assert (await left(scene))["job"] == owing + 3
        assert [await scene.store.prune(limit) for _ in range(3)] == [limit, 1, 0]
        assert (await left(scene))["job"] == owing
        # and they go when they owe nothing any more
        leased = await scene.store.claim_deliveries(100, DeliveryTerms(100, 20.0))
        await scene.store.apply([scene.delivered(each) for each in leased.deliveries], TERMS)
        erased = [await scene.store.prune(limit) for _ in range(6)]
        assert sum(erased) == owing
        assert max(erased) <= limit
        scene.clock.advance(21)
        await scene.store.claim_deliveries(1, TERMS)  # finds that nothing waits any more
        scene.clock.advance(ERASED_KEPT_SECONDS)
        for _ in range(3):
            await scene.store.prune(limit)
        # and how far the caller's events were erased is not forgotten
        assert await left(scene) == {"meta": 1, "event_erased": 1}

    async def test_a_record_sent_again_is_known_when_its_destination_is_forgotten(
        self, scene: SqliteScene
    ) -> None:
        await scene.ended(1, ORIGIN)
        (leased,) = (await scene.store.claim_deliveries(1, TERMS)).deliveries
        change = scene.delivered(leased)
        assert await scene.store.apply([change], TERMS) == [Applied()]
        scene.clock.advance(21)
        await scene.store.claim_deliveries(1, TERMS)  # finds that nothing waits there
        await scene.store.prune(10)
        assert "destination" not in await left(scene)
        assert await scene.store.apply([change], TERMS) == [Applied()]

    async def test_a_job_put_back_finds_a_lane_when_its_own_is_forgotten(
        self, scene: SqliteScene
    ) -> None:
        await scene.leased()
        await scene.store.prune(10)
        assert "lane" not in await left(scene)
        await scene.store.release_holder("hld_1")
        await scene.hold("hld_2")
        claimed = await scene.store.claim_jobs(JobClaim("hld_2", {"mail.send": 9}, 9))
        assert len(claimed.jobs) == 1

    async def test_room_is_given_back(
        self, scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pruning, "SPARE_PAGES", 10)
        body = b"x" * 20_000
        await scene.store.add_jobs([scene.new(scene.job(), holder="hld_1", body=body)])
        await scene.ended(50, result=body)
        (before,) = scene.writing.execute("PRAGMA page_count").fetchone()
        scene.clock.advance(3601)
        for _ in range(4):
            await scene.store.prune(50)
        (after,) = scene.writing.execute("PRAGMA page_count").fetchone()
        assert after < before / 2


async def left(scene: SqliteScene) -> dict[str, int]:
    """The rows of each table that has some."""
    await scene.store.check()
    listed = scene.writing.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    counts = {}
    for (name,) in listed:
        (count,) = scene.writing.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608  # the schema's own names
        counts[name] = count
    counts["meta"] -= len(schema.migrations())  # their marks
    return {name: count for name, count in counts.items() if count}


class TestPages:
    async def test_a_page_looks_at_a_bounded_number_of_rows(
        self, scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "LOOK_ROWS", 10)
        (wanted,) = await scene.add([scene.job(type="rare")])
        await scene.add([scene.job() for _ in range(25)])
        found, before, pages = [], None, 0
        while True:
            filter_ = JobFilter(caller_id=CALLER, type="rare")
            page = await scene.store.list_jobs(filter_, limit=5, before=before)
            found += [item.job.id for item in page.items]
            pages += 1
            before = page.next
            if before is None:
                break
        assert found == [wanted.job.id]
        assert pages == 3

    async def test_the_last_page_says_that_it_is_the_last(self, scene: SqliteScene) -> None:
        await scene.add([scene.job() for _ in range(4)])
        page = await scene.store.list_jobs(JobFilter(), limit=4, before=None)
        assert (len(page.items), page.next) == (4, None)


class TestSlots:
    async def test_a_destination_that_was_full_is_looked_at_with_more_slots(
        self, scene: SqliteScene
    ) -> None:
        await scene.ended(5, ORIGIN)
        assert len((await scene.store.claim_deliveries(9, DeliveryTerms(2, 20.0))).deliveries) == 2
        assert len((await scene.store.claim_deliveries(9, DeliveryTerms(2, 20.0))).deliveries) == 0
        assert len((await scene.store.claim_deliveries(9, DeliveryTerms(4, 20.0))).deliveries) == 2

    async def test_what_comes_to_a_full_destination_waits_for_the_end_of_a_lease(
        self, scene: SqliteScene
    ) -> None:
        """Told "now", the loop would wake at each end, for a claim that finds nothing."""
        await scene.ended(TERMS.slots + 1, ORIGIN)
        sending = (await scene.store.claim_deliveries(9, TERMS)).deliveries
        scene.clock.advance(1)
        (leased,) = await scene.leased(ORIGIN)
        lease_ends = scene.clock.now() + 19_000
        answer = await scene.store.apply([scene.finish(leased)], TERMS)
        assert answer == [Applied(delivery_ready_at=lease_ends)]
        claimed = await scene.store.claim_deliveries(9, TERMS)
        assert (claimed.deliveries, claimed.next_at) == ((), lease_ends)
        # with more slots it is found at once, and when one comes free whoever frees it tells
        assert len((await scene.store.claim_deliveries(1, DeliveryTerms(5, 20.0))).deliveries) == 1
        answers = await scene.store.apply([scene.delivered(each) for each in sending[:2]], TERMS)
        told = [each.delivery_ready_at for each in answers if isinstance(each, Applied)]
        assert told[0] == scene.clock.now()
        assert len((await scene.store.claim_deliveries(9, TERMS)).deliveries) == 1

    async def test_one_that_was_filled_by_hand_off_is_full_too(self, scene: SqliteScene) -> None:
        many = await scene.leased(ORIGIN, TERMS.slots + 2)
        changes = [scene.finish(each, hand_off=True) for each in many]
        answers = await scene.store.apply(changes, TERMS)
        applied = [each for each in answers if isinstance(each, Applied)]
        assert [len(each.handed) for each in applied] == [1] * TERMS.slots + [0, 0]
        lease_ends = scene.clock.now() + 20_000
        assert [each.delivery_ready_at for each in applied[TERMS.slots :]] == [lease_ends] * 2
        claimed = await scene.store.claim_deliveries(9, TERMS)
        assert (claimed.deliveries, claimed.next_at) == ((), lease_ends)
        assert len((await scene.store.claim_deliveries(9, DeliveryTerms(6, 20.0))).deliveries) == 2

    async def test_the_first_wait_is_that_of_the_terms_without_a_schedule(
        self, scene: SqliteScene
    ) -> None:
        (leased,) = await scene.leased(ORIGIN)
        terms = DeliveryTerms(4, 20.0, first_wait_seconds=1.5)
        answer = await scene.store.apply([scene.finish(leased, hand_off=True)], terms)
        assert answer == [Applied(delivery_ready_at=scene.clock.now() + 1500)]


class TestBytes:
    async def test_a_callback_is_the_same_handed_off_and_claimed(self, scene: SqliteScene) -> None:
        """Whole numbers where a float may stand must not come back as another text."""
        callback = Callback(url=f"{ORIGIN}/a", origin=ORIGIN, schedule=Schedule((0, 5, 0.5)))
        job = scene.job(callback=callback, retention_seconds=604_800, timeout_seconds=600)
        (added,) = await scene.add([replace(job, metadata={"k": "é"})], holder="hld_1")
        assert added.leased is not None
        change = scene.finish(added.leased, progress=Progress(1, total=2), hand_off=True)
        (ended,) = await scene.store.apply([change], TERMS)
        assert isinstance(ended, Applied)
        (first,) = ended.handed
        release = ReleaseDelivery(first.delivery.id, first.lease, scene.clock.now())
        assert isinstance((await scene.store.apply([release], TERMS))[0], Applied)
        (again,) = (await scene.store.claim_deliveries(1, TERMS)).deliveries
        bodies = [
            callback_body(each.event, each.job, each.delivery.url, each.result)
            for each in (first, again)
        ]
        assert bodies[0] == bodies[1]


class TestServeLock:
    def test_a_link_to_the_file_leads_to_the_same_lock(self, tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        link = tmp_path / "store.db"
        link.symlink_to(tmp_path / "volume" / "store.db")
        with ServeLock(tmp_path / "volume" / "store.db"), pytest.raises(StoreLocked):
            ServeLock(link).acquire()

    def test_a_second_service_is_refused_and_told_who_has_it(self, tmp_path: Path) -> None:
        with ServeLock(tmp_path / "store.db"):
            with pytest.raises(StoreLocked, match=str(os.getpid())):
                ServeLock(tmp_path / "store.db").acquire()
            with ServeLock(tmp_path / "another.db"):
                pass
        with ServeLock(tmp_path / "store.db"):
            pass

    def test_it_does_not_outlive_its_process(self, tmp_path: Path) -> None:
        code = (
            "import pathlib, sys\n"
            "from dispatcher.adapters.sqlite import ServeLock\n"
            "ServeLock(pathlib.Path(sys.argv[1])).acquire()\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        path = tmp_path / "store.db"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(StoreLocked, match=str(other.pid)):
                ServeLock(path).acquire()
            other.kill()
            other.wait()
        with ServeLock(path):
            pass

    def test_a_directory_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "nowhere" / "store.db"
        with pytest.raises(StoreUnavailable, match=re.escape(str(path))):
            ServeLock(path).acquire()
