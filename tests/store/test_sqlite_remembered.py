"""What the store remembers of what it leased stands for a read only while the row is as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.adapters.sqlite import remembered
from dispatcher.adapters.sqlite.adding import add_job
from dispatcher.adapters.sqlite.changing import finish_job
from dispatcher.adapters.sqlite.rows import JOB_COLUMNS, is_plain
from dispatcher.adapters.sqlite.statements import statement
from dispatcher.core.changes import AskCancel, LeasedJob, NoteProgress, ReleaseJob
from dispatcher.core.model import Job, JobError, JobState, Progress, Trace
from dispatcher.ports.records import Added, Applied, JobClaim, LeasedDelivery, Stale
from tests.store.sqlite_scene import HOLDER, ORIGIN, TERMS, SqliteScene, sqlite_scene

READS_JOB = "SELECT job.* FROM job WHERE id ="


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SqliteScene]:
    async with sqlite_scene(tmp_path) as made:
        yield made


@contextmanager
def statements(scene: SqliteScene) -> Iterator[list[str]]:
    """The statements that the writer runs meanwhile."""
    ran: list[str] = []
    scene.writing.set_trace_callback(ran.append)
    try:
        yield ran
    finally:
        scene.writing.set_trace_callback(None)


def has(ran: list[str], text: str) -> bool:
    return any(text in each for each in ran)


async def one(scene: SqliteScene, change: object) -> Applied | Stale:
    (answer,) = await scene.store.apply([change], TERMS)  # type: ignore[list-item]  # any change
    assert isinstance(answer, Applied | Stale)
    return answer


async def found(scene: SqliteScene, job: Job) -> Job:
    record = await scene.store.get_job(job.id, None)
    assert record is not None
    return record.job


def handed(answer: Applied | Stale) -> LeasedDelivery:
    assert isinstance(answer, Applied)
    (leased,) = answer.handed
    return leased


async def owed(scene: SqliteScene) -> LeasedDelivery:
    """A delivery leased with the end of its job."""
    (leased,) = await scene.leased(ORIGIN)
    return handed(await one(scene, scene.finish(leased, hand_off=True)))


# --- Jobs --------------------------------------------------------------------------------------


async def test_the_end_of_a_job_leased_here_reads_nothing_back(scene: SqliteScene) -> None:
    (leased,) = await scene.leased(ORIGIN)
    with statements(scene) as ran:
        delivery = handed(await one(scene, scene.finish(leased, hand_off=True)))
    assert not has(ran, READS_JOB)
    assert delivery.job == await found(scene, leased.job)


async def test_nor_does_that_of_one_that_was_claimed(scene: SqliteScene) -> None:
    await scene.add([scene.job(ORIGIN, metadata={"a": "b"}, timeout_seconds=7)])
    claimed = await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 5}, 5))
    with statements(scene) as ran:
        delivery = handed(await one(scene, scene.finish(claimed.jobs[0], hand_off=True)))
    assert not has(ran, READS_JOB)
    assert delivery.job == await found(scene, claimed.jobs[0].job)


async def test_what_was_asked_meanwhile_is_read(scene: SqliteScene) -> None:
    """By another process, of which this one can't know."""
    (leased,) = await scene.leased(ORIGIN)
    other = scene.another()
    await other.open()
    await other.apply([AskCancel(leased.job.id, scene.clock.now() + 1)], TERMS)
    await other.close()
    with statements(scene) as ran:
        delivery = handed(await one(scene, scene.finish(leased, hand_off=True)))
    assert has(ran, READS_JOB)
    assert delivery.job is not None
    assert delivery.job.cancel_requested_at == scene.clock.now() + 1
    assert delivery.job == await found(scene, leased.job)


async def test_so_is_progress_that_was_noted(scene: SqliteScene) -> None:
    (leased,) = await scene.leased(ORIGIN)
    progress = Progress(40)
    note = NoteProgress(
        job_id=leased.job.id, lease=leased.lease, at=scene.clock.now(), progress=progress
    )
    assert isinstance(await one(scene, note), Applied)
    delivery = handed(await one(scene, scene.finish(leased, hand_off=True)))
    assert delivery.job is not None
    assert delivery.job.progress == progress
    assert delivery.job == await found(scene, leased.job)


async def test_a_lease_that_was_given_up_ends_nothing(scene: SqliteScene) -> None:
    (leased,) = await scene.leased()
    release = ReleaseJob(
        job_id=leased.job.id,
        lease=leased.lease,
        due_at=scene.clock.now(),
        retrying=False,
        refund=True,
    )
    await one(scene, release)
    (again,) = (await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 5}, 5))).jobs
    assert await one(scene, scene.finish(leased)) == Stale()
    assert (await found(scene, leased.job)).state is JobState.RUNNING
    assert isinstance(await one(scene, scene.finish(again)), Applied)


async def test_the_same_end_sent_twice_is_one(scene: SqliteScene) -> None:
    (leased,) = await scene.leased(ORIGIN)
    end = scene.finish(leased)
    assert isinstance(await one(scene, end), Applied)
    assert await one(scene, end) == Applied()
    assert (await found(scene, leased.job)).event_count == 1
    assert await one(scene, scene.finish(leased)) == Stale()


async def test_a_lease_does_not_end_another_job(scene: SqliteScene) -> None:
    one_job, other = await scene.leased(count=2)
    wrong = replace(scene.finish(one_job), job_id=other.job.id)
    assert await one(scene, wrong) == Stale()
    assert (await found(scene, one_job.job)).state is JobState.RUNNING
    assert (await found(scene, other.job)).state is JobState.RUNNING


async def test_a_job_whose_transaction_was_rolled_back_is_not_taken_for_its_successor(
    scene: SqliteScene,
) -> None:
    """The next job gets the number that the lost one had."""
    session = scene.store._session(scene.writing)
    scene.writing.execute("BEGIN IMMEDIATE")
    lost = add_job(session, scene.new(scene.job(), holder=HOLDER))
    scene.writing.execute("ROLLBACK")
    assert isinstance(lost, Added)
    assert lost.leased is not None
    (leased,) = await scene.leased()
    assert await one(scene, scene.finish(lost.leased)) == Stale()
    disguised = replace(scene.finish(lost.leased), job_id=leased.job.id)
    assert await one(scene, disguised) == Stale()
    assert (await found(scene, leased.job)).state is JobState.RUNNING


async def test_an_end_that_was_rolled_back_can_come_again(scene: SqliteScene) -> None:
    (leased,) = await scene.leased(ORIGIN)
    end = scene.finish(leased, hand_off=True)
    scene.writing.execute("BEGIN IMMEDIATE")
    finish_job(scene.store._session(scene.writing), end, TERMS)
    scene.writing.execute("ROLLBACK")
    assert (await found(scene, leased.job)).state is JobState.RUNNING
    delivery = handed(await one(scene, end))
    assert delivery.job == await found(scene, leased.job)


async def test_a_job_of_a_key_is_read(scene: SqliteScene) -> None:
    """Its place in the order of its key is moved by others, without its version."""
    first, second = await scene.add(
        [scene.job(ORIGIN, ordering_key="k") for _ in range(2)], holder=HOLDER
    )
    assert first.leased is not None
    assert second.leased is None
    with statements(scene) as ran:
        answer = await one(scene, scene.finish(first.leased))
    assert has(ran, READS_JOB)
    assert isinstance(answer, Applied)
    assert answer.job_ready_at == scene.clock.now()


async def test_no_more_is_kept_than_may_be(
    scene: SqliteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    oldest, *later = await scene.leased(count=3)
    with statements(scene) as ran:
        assert isinstance(await one(scene, scene.finish(oldest)), Applied)
    assert has(ran, READS_JOB)
    with statements(scene) as ran:
        for each in later:
            assert isinstance(await one(scene, scene.finish(each)), Applied)
    assert not has(ran, READS_JOB)


async def test_a_large_job_is_not_kept(scene: SqliteScene) -> None:
    (leased,) = [
        each.leased
        for each in await scene.add([scene.job(metadata={"a": "b" * 5_000})], holder=HOLDER)
    ]
    assert isinstance(leased, LeasedJob)
    with statements(scene) as ran:
        assert isinstance(await one(scene, scene.finish(leased)), Applied)
    assert has(ran, READS_JOB)


def test_a_plain_job_has_nothing_in_the_columns_that_are_left_out(scene_job: Job) -> None:
    assert is_plain(scene_job)
    written = statement("job_add_plain").split("INSERT INTO job (")[1].split(")")[0]
    named = {each.strip() for each in written.split(",")}
    left_out = set(JOB_COLUMNS) - named
    values: dict[str, object] = {
        "progress": Progress(1),
        "error": JobError("a", "b", 1),
        "metadata": {"a": "b"},
        "trace": Trace("00"),
        "correlation_id": "a",
        "replay_of": "job_1",
        "ordering_key": "k",
    }
    # These follow from others, or are never a new job's.
    for column in left_out - {"seq", "late_at", "key_place", "crash_count", "last_lease"}:
        assert not is_plain(replace(scene_job, **{column: values.get(column, 1)})), column


@pytest.fixture
def scene_job(tmp_path: Path) -> Job:
    return SqliteScene(tmp_path / "store.db").job(ORIGIN)
