"""Readers: one job, its result, its events, and lists in pages."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.model import (
    INLINE_RESULT_BYTES,
    DeliveryState,
    Event,
    Job,
    JobState,
    JobStatus,
)
from dispatcher.ports.views import DeliveryFilter, DeliverySummary, JobFilter
from dispatcher.testing.conformance.changing import note_output
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import (
    ANN,
    BEN,
    EVERY_EVENT,
    MAIL,
    MISCHIEF,
    REPORT,
    a_callback,
)

MIB = 1_048_576


def a_json_text(size: int) -> bytes:
    """JSON of exactly that many bytes that a round trip through a parser would change."""
    head, tail = b'{ "1.0":1.0, "a":"\\u00e9\xf0\x9f\xa7\xb5", "a":"', b'" }'
    return head + b"x" * (size - len(head) - len(tail)) + tail


async def ended_with(scene: Scene, result: bytes) -> Job:
    leased = await scene.running()
    await scene.apply(scene.finish(leased, result=result))
    return (await scene.record(leased.job.id)).job


class TestOneJob:
    async def test_what_is_not_there_is_none(self, scene: Scene) -> None:
        for job_id in ("job_00000000000070008000000000000000", "", MISCHIEF):
            assert await scene.store.get_job(job_id, None) is None
            assert await scene.store.get_result(job_id, None) is None
            assert await scene.store.list_events(job_id, None, limit=1, after=0) is None

    async def test_another_callers_is_not_there(self, scene: Scene) -> None:
        job = await scene.end(caller_id=ANN, callback=a_callback())
        for caller_id in (None, ANN):
            assert await scene.store.get_job(job.id, caller_id) is not None
            assert await scene.store.get_result(job.id, caller_id) is not None
            assert await scene.store.list_events(job.id, caller_id, limit=1, after=0) is not None
        for caller_id in (BEN, "", "clr_nobody"):
            assert await scene.store.get_job(job.id, caller_id) is None
            assert await scene.store.get_result(job.id, caller_id) is None
            assert await scene.store.list_events(job.id, caller_id, limit=1, after=0) is None
            assert await scene.jobs(JobFilter(caller_id=caller_id)) == []
            wanted = DeliveryFilter(caller_id=caller_id, job_id=job.id)
            page = await scene.store.list_deliveries(wanted, limit=10, before=None)
            assert page.items == ()

    async def test_the_input_comes_if_asked_and_not_too_long(self, scene: Scene) -> None:
        for size, comes in ((INLINE_RESULT_BYTES, True), (INLINE_RESULT_BYTES + 1, False)):
            body = a_json_text(size)
            new = scene.new(body=body)
            await scene.add_all(new)
            asked = await scene.store.get_job(new.job.id, None, with_input=True)
            assert asked is not None
            assert asked.input == (body if comes else None)
            unasked = await scene.store.get_job(new.job.id, None)
            assert unasked is not None
            assert unasked.input is None

    async def test_the_result_comes_if_it_may_stand_inline(self, scene: Scene) -> None:
        for size, comes in ((INLINE_RESULT_BYTES, True), (INLINE_RESULT_BYTES + 1, False)):
            result = a_json_text(size)
            job = await ended_with(scene, result)
            assert job.result_bytes == size
            assert (await scene.record(job.id)).result == (result if comes else None)
            assert await scene.store.get_result(job.id, None) == (job, result)

    @pytest.mark.parametrize("size", [1, 65_537, MIB])
    async def test_inputs_and_results_come_back_byte_for_byte(
        self, scene: Scene, size: int
    ) -> None:
        body = b"1" if size == 1 else a_json_text(size)
        await scene.add_all(scene.new(job := scene.job(), body=body))
        (leased,) = (await scene.claim(store=scene.other)).jobs
        assert leased.input == body
        await scene.apply(scene.finish(leased, result=body))
        found = await scene.other.get_result(job.id, None)
        assert found is not None
        assert found[1] == body

    async def test_a_job_without_a_result_has_none(self, scene: Scene) -> None:
        failed = await scene.end(JobState.FAILED)
        assert await scene.store.get_result(failed.id, None) == (failed, None)
        (waiting,) = await scene.add()
        assert await scene.store.get_result(waiting.id, None) == (waiting, None)

    async def test_text_comes_back_as_it_was(self, scene: Scene) -> None:
        leased = await scene.running(
            metadata={MISCHIEF: MISCHIEF, "": "\ufeff\ud7ff\ue000\U0010ffff"}
        )
        await scene.apply(scene.finish(leased, result=f'"{MISCHIEF}"'.encode()))
        record = await scene.record(leased.job.id)
        assert record.job.metadata == leased.job.metadata
        assert record.job.metadata == {MISCHIEF: MISCHIEF, "": "\ufeff\ud7ff\ue000\U0010ffff"}
        assert record.result == f'"{MISCHIEF}"'.encode()


class TestDeliverySummary:
    async def test_it_follows_the_delivery(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback())
        assert (await scene.record(leased.job.id)).delivery is None
        await scene.apply(scene.finish(leased))
        pending = DeliverySummary(DeliveryState.PENDING, 0, None, scene.now)
        assert (await scene.record(leased.job.id)).delivery == pending
        (sending,) = (await scene.lease()).deliveries
        summary = (await scene.record(leased.job.id)).delivery
        assert summary is not None
        assert (summary.state, summary.attempt_count) == (DeliveryState.SENDING, 0)
        await scene.apply(scene.tried(sending, after_seconds=5))
        pending = DeliverySummary(DeliveryState.PENDING, 1, 500, scene.now + 5_000)
        assert (await scene.record(leased.job.id)).delivery == pending
        await scene.advance(5)
        (sending,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        delivered = DeliverySummary(DeliveryState.DELIVERED, 2, 204, None)
        assert (await scene.record(leased.job.id)).delivery == delivered

    async def test_it_is_that_of_the_last_event(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
        await scene.apply(note_output(scene, leased.job, leased.lease))
        (sending,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        summary = (await scene.record(leased.job.id)).delivery
        assert summary == DeliverySummary(DeliveryState.DELIVERED, 1, 204, None)
        await scene.apply(scene.finish(leased))
        summary = (await scene.record(leased.job.id)).delivery
        assert summary == DeliverySummary(DeliveryState.PENDING, 0, None, scene.now)

    async def test_an_attempt_without_an_answer_has_no_status(self, scene: Scene) -> None:
        sending = await scene.sending()
        change = scene.tried(sending)
        assert change.attempt is not None
        silent = scene.tried(
            sending, attempt=type(change.attempt)(number=1, at=scene.now, duration_ms=9)
        )
        await scene.apply(silent)
        summary = (await scene.record(sending.delivery.job_id)).delivery
        assert summary is not None
        assert (summary.attempt_count, summary.last_status_code) == (1, None)


class TestEvents:
    async def test_pages_go_on_after_a_sequence(self, scene: Scene) -> None:
        leased = await scene.running()
        for _ in range(5):
            await scene.apply(note_output(scene, leased.job, leased.lease))
        await scene.apply(scene.finish(leased, result=b'"r"'))
        after = 0
        told: list[tuple[Event, bytes | None]] = []
        while True:
            answer = await scene.other.list_events(leased.job.id, ANN, limit=2, after=after)
            assert answer is not None
            job, page = answer
            assert job == (await scene.record(leased.job.id)).job
            if not page:
                break
            assert len(page) <= 2
            told += page
            after = page[-1][0].sequence or 0
        assert [event.sequence for event, _ in told] == [1, 2, 3, 4, 5, 6]
        assert [result for _, result in told] == [None] * 5 + [b'"r"']

    async def test_a_result_too_long_does_not_come_with_the_last(self, scene: Scene) -> None:
        job = await ended_with(scene, a_json_text(INLINE_RESULT_BYTES + 1))
        answer = await scene.store.list_events(job.id, None, limit=10, after=0)
        assert answer is not None
        assert [result for _, result in answer[1]] == [None]


class TestListsOfJobs:
    async def test_newest_first_in_pages_that_neither_skip_nor_repeat(self, scene: Scene) -> None:
        jobs = await scene.add(count=7)
        for limit in (1, 2, 3, 7, 100):
            assert [job.id for job in await scene.jobs(limit=limit)] == [
                job.id for job in jobs[::-1]
            ]

    async def test_what_is_added_meanwhile_moves_no_page(self, scene: Scene) -> None:
        jobs = await scene.add(count=4)
        first = await scene.store.list_jobs(JobFilter(), limit=2, before=None)
        await scene.add(count=3)
        then = await scene.store.list_jobs(JobFilter(), limit=2, before=first.next)
        assert [record.job.id for record in (*first.items, *then.items)] == [
            job.id for job in jobs[::-1]
        ]

    async def test_without_inputs_and_results(self, scene: Scene) -> None:
        job = await scene.end(callback=a_callback())
        (record,) = (await scene.store.list_jobs(JobFilter(), limit=5, before=None)).items
        assert (record.job, record.input, record.result) == (job, None, None)
        assert record.delivery == (await scene.record(job.id)).delivery

    @pytest.mark.parametrize(
        ("member", "value", "other"),
        [
            ("caller_id", ANN, BEN),
            ("type", MAIL, REPORT),
            ("queue", "default", "other"),
            ("correlation_id", "order-1", "order-2"),
        ],
    )
    async def test_each_filter(self, scene: Scene, member: str, value: str, other: str) -> None:
        mine: dict[str, Any] = {member: value}
        others: dict[str, Any] = {member: other}
        nobodys: dict[str, Any] = {member: "none.such"}
        wanted: list[Job] = []
        for _ in range(3):
            wanted += await scene.add(**mine)
            await scene.add(**others)
        found = await scene.jobs(JobFilter(**mine), limit=2)
        assert [job.id for job in found] == [job.id for job in wanted[::-1]]
        assert await scene.jobs(JobFilter(**nobodys)) == []

    async def test_filters_together(self, scene: Scene) -> None:
        (both,) = await scene.add(type=REPORT, correlation_id="x", caller_id=BEN)
        await scene.add(type=MAIL, correlation_id="x", caller_id=BEN)
        await scene.add(type=REPORT, correlation_id="x", caller_id=ANN)
        wanted = JobFilter(type=REPORT, correlation_id="x", caller_id=BEN, status=JobStatus.QUEUED)
        assert await scene.jobs(wanted) == [both]

    async def test_each_status(self, scene: Scene) -> None:
        by_status: dict[JobStatus, str] = {}
        for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED):
            by_status[JobStatus(state.value)] = (await scene.end(state)).id
        retrying = await scene.running()
        back = scene.back(retrying, after_seconds=60)
        await scene.apply(back)
        by_status[JobStatus.RETRYING] = retrying.job.id
        by_status[JobStatus.RUNNING] = (await scene.running()).job.id
        (scheduled,) = await scene.add(due_at=scene.now + 60_000)
        (queued,) = await scene.add()
        by_status |= {JobStatus.SCHEDULED: scheduled.id, JobStatus.QUEUED: queued.id}
        for status in JobStatus:
            found = await scene.jobs(JobFilter(status=status), limit=1)
            assert [job.id for job in found] == [by_status[status]], status
        await scene.advance(60)
        found = await scene.jobs(JobFilter(status=JobStatus.QUEUED))
        assert {job.id for job in found} == {retrying.job.id, scheduled.id, queued.id}

    async def test_by_time_of_creation(self, scene: Scene) -> None:
        jobs: list[Job] = []
        for _ in range(5):
            jobs += await scene.add(created_at=scene.now)
            await scene.advance(10)
        start = jobs[0].created_at
        wanted = JobFilter(created_after=start + 5_000, created_before=start + 35_000)
        found = await scene.jobs(wanted, limit=2)
        assert [job.id for job in found] == [job.id for job in jobs[3:0:-1]]

    async def test_a_rare_one_among_many_is_found(self, scene: Scene) -> None:
        rare = await scene.end(JobState.FAILED, correlation_id="rare")
        await scene.add_all(*(scene.new() for _ in range(300)))
        filters: list[dict[str, Any]] = [
            {"correlation_id": "rare"},
            {"status": JobStatus.FAILED},
            {"status": JobStatus.FAILED, "caller_id": ANN},
        ]
        for members in filters:
            assert await scene.jobs(JobFilter(**members), limit=5) == [rare]
