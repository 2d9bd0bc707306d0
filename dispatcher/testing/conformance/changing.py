"""`apply` for jobs: ends, releases, what a running job tells, and changes that are sent again."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core.changes import (
    AskCancel,
    LeasedJob,
    NoteOutput,
    NoteProgress,
    NoteStarted,
    ReleaseJob,
)
from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import (
    Callback,
    Delivery,
    DeliveryState,
    EventType,
    Job,
    JobError,
    JobState,
    Progress,
)
from dispatcher.core.payload import job_at_event
from dispatcher.ports.records import Applied, DeliveryTerms, LeasedDelivery
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import EVERY_EVENT, MISCHIEF, ORIGIN, a_callback

ENDS = sorted(TERMINAL_EVENT)
BEST_EFFORT = (EventType.JOB_STARTED, EventType.JOB_PROGRESS, EventType.JOB_OUTPUT)


class TestFinishing:
    @pytest.mark.parametrize("to", ENDS)
    async def test_all_of_an_end_stands_together(self, scene: Scene, to: JobState) -> None:
        leased = await scene.running(retention_seconds=90.5)
        await scene.advance(1)
        change = scene.finish(leased, to, progress=Progress(3, 3, "done"))
        await scene.apply(change)
        record = await scene.record(leased.job.id)
        expected = msgspec.structs.replace(
            leased.job,
            state=to,
            finished_at=change.at,
            expires_at=change.at + 90_500,
            progress=Progress(3, 3, "done"),
            error=change.error,
            result_bytes=None if change.result is None else len(change.result),
            version=record.job.version,
            event_count=1,
        )
        assert record.job == expected
        assert record.job.version > leased.job.version
        assert record.result == change.result
        (event,) = await scene.events(leased.job.id)
        assert (event.id, event.type, event.sequence) == (change.event_id, TERMINAL_EVENT[to], 1)
        assert (event.job_id, event.caller_id, event.at, event.data) == (
            leased.job.id,
            leased.job.caller_id,
            change.at,
            None,
        )

    @pytest.mark.parametrize("to", [JobState.CANCELED, JobState.EXPIRED])
    async def test_a_waiting_job_ends_without_a_lease(self, scene: Scene, to: JobState) -> None:
        (job,) = await scene.add(callback=a_callback())
        await scene.apply(scene.end_waiting(job, to))
        ended = (await scene.record(job.id)).job
        assert (ended.state, ended.attempt_count, ended.started_at) == (to, 0, None)
        assert [event.type for event in await scene.events(job.id)] == [TERMINAL_EVENT[to]]
        assert [d.event_type for d in await scene.deliveries(job.id)] == [TERMINAL_EVENT[to]]
        assert (await scene.claim()).jobs == ()

    async def test_the_deliveries_owed_are_written_with_it(self, scene: Scene) -> None:
        callback = Callback(url=f"{ORIGIN}/a?b=c", origin=ORIGIN)
        leased = await scene.running(callback=callback)
        change = scene.finish(leased)
        applied = await scene.apply(change)
        assert applied.handed == ()
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        (delivery,) = await scene.deliveries(leased.job.id)
        assert delivery == Delivery(
            id=delivery.id,
            event_id=change.event_id,
            event_type=EventType.JOB_SUCCEEDED,
            job_id=leased.job.id,
            caller_id=leased.job.caller_id,
            url=callback.url,
            origin=ORIGIN,
            state=DeliveryState.PENDING,
            created_at=scene.now,
            due_at=scene.now,
        )

    async def test_without_a_callback_nothing_is_owed(self, scene: Scene) -> None:
        leased = await scene.running()
        assert await scene.apply(scene.finish(leased)) == Applied()
        assert await scene.deliveries() == []

    async def test_an_event_that_the_callback_does_not_want_is_not_owed(self, scene: Scene) -> None:
        wanted = (EventType.JOB_FAILED,)
        leased = await scene.running(callback=a_callback(events=wanted))
        await scene.apply(scene.finish(leased))
        assert await scene.deliveries() == []
        leased = await scene.running(callback=a_callback(events=wanted))
        await scene.apply(scene.finish(leased, JobState.FAILED))
        assert len(await scene.deliveries(leased.job.id)) == 1

    async def test_a_schedule_says_when_the_first_attempt_is_due(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(schedule=(2.5, 60)))
        applied = await scene.apply(scene.finish(leased, hand_off=True))
        assert applied.handed == ()
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now + 2_500
        (delivery,) = await scene.deliveries(leased.job.id)
        assert delivery.due_at == scene.now + 2_500
        assert (await scene.lease()).deliveries == ()
        await scene.advance(2.5)
        assert len((await scene.lease()).deliveries) == 1

    async def test_the_terms_say_it_where_the_job_does_not(self, scene: Scene) -> None:
        terms = DeliveryTerms(slots=4, lease_seconds=20.0, first_wait_seconds=1.5)
        for schedule, wait_ms in ((None, 1_500), ((0,), 0), ((0.25, 9), 250)):
            leased = await scene.running(callback=a_callback(schedule=schedule))
            await scene.apply(scene.finish(leased), terms=terms)
            (delivery,) = await scene.deliveries(leased.job.id)
            assert delivery.due_at == scene.now + wait_ms

    async def test_best_effort_deliveries_that_still_wait_are_dropped(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
        await scene.apply(note_output(scene, leased.job, leased.lease))
        (sending,) = (await scene.lease()).deliveries
        await scene.apply(note_output(scene, leased.job, leased.lease))
        (other_job,) = await scene.add(callback=a_callback(events=EVERY_EVENT))
        (other,) = (await scene.claim()).jobs
        await scene.apply(note_output(scene, other_job, other.lease))
        await scene.apply(scene.finish(leased))
        last, dropped, under_way = await scene.deliveries(leased.job.id)
        assert (last.event_type, last.state) == (EventType.JOB_SUCCEEDED, DeliveryState.PENDING)
        assert (dropped.state, dropped.finished_at) == (DeliveryState.CANCELED, scene.now)
        assert (under_way.id, under_way.state) == (sending.delivery.id, DeliveryState.SENDING)
        assert [d.state for d in await scene.deliveries(other_job.id)] == [DeliveryState.PENDING]
        claimed = await scene.lease()
        assert {leased.delivery.job_id for leased in claimed.deliveries} == {
            leased.job.id,
            other_job.id,
        }

    async def test_a_progress_told_before_stays(self, scene: Scene) -> None:
        leased = await scene.running()
        progress = Progress(1, 10, MISCHIEF)
        await scene.apply(note_progress(scene, leased, progress))
        await scene.apply(scene.finish(leased, JobState.FAILED))
        assert (await scene.record(leased.job.id)).job.progress == progress


class TestReleasing:
    async def test_a_failed_attempt_is_kept_and_tried_again(self, scene: Scene) -> None:
        leased = await scene.running()
        error = JobError("handler-error", MISCHIEF, 1)
        back = ReleaseJob(
            job_id=leased.job.id,
            lease=leased.lease,
            due_at=scene.now + 1_000,
            retrying=True,
            refund=False,
            error=error,
            progress=Progress(0.5),
        )
        await scene.apply(back)
        job = (await scene.record(leased.job.id)).job
        assert job.version > leased.job.version
        assert job == msgspec.structs.replace(
            leased.job,
            state=JobState.WAITING,
            due_at=scene.now + 1_000,
            retrying=True,
            error=error,
            progress=Progress(0.5),
            version=job.version,
        )
        assert await scene.events(job.id) == []

    async def test_one_that_was_asked_to_cancel_is_due_at_once(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(AskCancel(leased.job.id, scene.now))
        applied = await scene.apply(scene.back(leased, after_seconds=3_600))
        assert applied.job_ready_at == scene.now
        (again,) = (await scene.claim()).jobs
        assert again.job.id == leased.job.id
        assert again.job.cancel_requested_at == scene.now

    async def test_a_snoozed_job_gets_its_attempt_back(self, scene: Scene) -> None:
        leased = await scene.running()
        back = scene.back(leased, retrying=False)
        applied = await scene.apply(back)
        assert applied.job_ready_at is not None
        assert applied.job_ready_at <= scene.now
        job = (await scene.record(leased.job.id)).job
        assert (job.state, job.attempt_count, job.retrying) == (JobState.WAITING, 0, False)
        (again,) = (await scene.claim()).jobs
        assert again.job.attempt_count == 1

    async def test_a_progress_told_before_stays(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(note_progress(scene, leased, Progress(1)))
        await scene.apply(scene.back(leased))
        assert (await scene.record(leased.job.id)).job.progress == Progress(1)

    async def test_its_place_in_the_order_stays(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.add()
        back = scene.back(leased, retrying=False)
        await scene.apply(back)
        claimed = await scene.claim(limit=1)
        assert [again.job.id for again in claimed.jobs] == [leased.job.id]


def note_output(scene: Scene, job: Job, lease: str, output: bytes = b'{"page":1}') -> NoteOutput:
    return NoteOutput(
        job_id=job.id, lease=lease, at=scene.now, event_id=scene.ids.new("evt"), output=output
    )


def note_progress(
    scene: Scene, leased: LeasedJob, progress: Progress, *, event: bool = False
) -> NoteProgress:
    return NoteProgress(
        job_id=leased.job.id,
        lease=leased.lease,
        at=scene.now,
        progress=progress,
        event_id=scene.ids.new("evt") if event else None,
    )


class TestNoting:
    async def test_outputs_are_all_kept_and_the_sequence_has_no_gaps(self, scene: Scene) -> None:
        leased = await scene.running()
        outputs = [b"%d" % n for n in range(4)]
        for output in outputs:
            await scene.apply(note_output(scene, leased.job, leased.lease, output))
        await scene.apply(scene.finish(leased))
        events = await scene.events(leased.job.id)
        assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
        job = (await scene.record(leased.job.id)).job
        assert job.event_count == 5
        told = [job_at_event(event, job)[1] for event in events]
        assert [None if raw is None else bytes(raw) for raw in told] == [*outputs, None]

    async def test_an_output_shows_the_job_as_it_was(self, scene: Scene) -> None:
        leased = await scene.running()
        note = note_output(scene, leased.job, leased.lease)
        await scene.apply(msgspec.structs.replace(note, progress=Progress(1, 2)))
        noted = (await scene.record(leased.job.id)).job
        assert noted.progress == Progress(1, 2)
        await scene.advance(1)
        await scene.apply(scene.finish(leased, progress=Progress(2, 2)))
        (event, _) = await scene.events(leased.job.id)
        was, output = job_at_event(event, (await scene.record(leased.job.id)).job)
        assert output is not None
        assert bytes(output) == b'{"page":1}'
        assert (was.state, was.progress, was.finished_at) == (
            JobState.RUNNING,
            Progress(1, 2),
            None,
        )
        assert was.attempt_count == 1

    async def test_progress_is_a_note_on_the_job(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
        change = note_progress(scene, leased, Progress(1, None, "one"))
        await scene.apply(change)
        job = (await scene.record(leased.job.id)).job
        assert (job.progress, job.event_count) == (Progress(1, None, "one"), 0)
        assert job.version > leased.job.version
        assert await scene.deliveries() == []

    async def test_progress_with_an_event_is_stored_and_sent_if_wanted(self, scene: Scene) -> None:
        for events, count in ((EVERY_EVENT, 1), (None, 0)):
            leased = await scene.running(callback=a_callback(events=events))
            change = note_progress(scene, leased, Progress(1), event=True)
            await scene.apply(change)
            (event,) = await scene.events(leased.job.id)
            assert (event.id, event.type) == (change.event_id, EventType.JOB_PROGRESS)
            assert len(await scene.deliveries(leased.job.id)) == count

    async def test_a_start_is_sent_where_it_is_wanted(self, scene: Scene) -> None:
        for events, count in ((EVERY_EVENT, 1), (None, 0)):
            leased = await scene.running(callback=a_callback(events=events))
            change = NoteStarted(
                job_id=leased.job.id,
                lease=leased.lease,
                at=scene.now,
                event_id=scene.ids.new("evt"),
            )
            await scene.apply(change)
            assert len(await scene.deliveries(leased.job.id)) == count

    async def test_what_a_running_job_tells_is_due_at_once(self, scene: Scene) -> None:
        """The schedule is for ends: notes are best effort, one attempt now."""
        callback = a_callback(events=EVERY_EVENT, schedule=(3_600,))
        leased = await scene.running(callback=callback)
        applied = await scene.apply(note_output(scene, leased.job, leased.lease))
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        (sending,) = (await scene.lease()).deliveries
        assert sending.event.type is EventType.JOB_OUTPUT
        assert sending.event == (await scene.events(leased.job.id))[0]
        assert sending.result is None


class TestAskingToCancel:
    async def test_a_running_job_is_marked_once(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(AskCancel(leased.job.id, scene.now))
        marked = (await scene.record(leased.job.id)).job
        assert marked.version > leased.job.version
        assert marked.cancel_requested_at == scene.now
        assert marked.state is JobState.RUNNING
        await scene.advance(1)
        await scene.apply(AskCancel(leased.job.id, scene.now))
        assert (await scene.record(leased.job.id)).job == marked

    async def test_the_first_committed_end_wins(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(AskCancel(leased.job.id, scene.now))
        await scene.apply(scene.finish(leased))
        assert await scene.state(leased.job.id) is JobState.SUCCEEDED


class TestSentAgain:
    """A write whose answer was lost with the connection is repeated: applied, without effect."""

    async def test_an_end(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback())
        change = scene.finish(leased)
        await scene.apply(change)
        before = await everything(scene, leased.job.id)
        await scene.advance(1)
        for store in (scene.store, scene.other):
            assert (await scene.apply(change, store=store)).handed == ()
        assert await everything(scene, leased.job.id) == before

    async def test_an_end_of_a_waiting_job(self, scene: Scene) -> None:
        (job,) = await scene.add(callback=a_callback())
        change = scene.end_waiting(job)
        await scene.apply(change)
        before = await everything(scene, job.id)
        await scene.apply(change)
        assert await everything(scene, job.id) == before

    async def test_an_end_within_one_call(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback())
        change = scene.finish(leased)
        results = await scene.apply_all(change, change)
        assert [type(result) for result in results] == [Applied, Applied]
        assert len(await scene.events(leased.job.id)) == 1
        assert len(await scene.deliveries(leased.job.id)) == 1

    async def test_an_end_whose_delivery_was_handed_off(self, scene: Scene) -> None:
        """The delivery is still owed once: whether it is handed again or not, one lease holds."""
        leased = await scene.running(callback=a_callback())
        change = scene.finish(leased, hand_off=True)
        (handed,) = (await scene.apply(change)).handed
        again: list[LeasedDelivery] = [*(await scene.apply(change)).handed]
        assert [one.lease for one in again] in ([], [handed.lease])
        assert len(await scene.deliveries(leased.job.id)) == 1

    async def test_notes_even_after_the_end(self, scene: Scene) -> None:
        leased = await scene.running(callback=a_callback(events=EVERY_EVENT))
        output = note_output(scene, leased.job, leased.lease)
        progress = note_progress(scene, leased, Progress(1), event=True)
        started = NoteStarted(
            job_id=leased.job.id, lease=leased.lease, at=scene.now, event_id=scene.ids.new("evt")
        )
        for change in (started, output, progress):
            await scene.apply(change)
            before = await everything(scene, leased.job.id)
            await scene.apply(change)
            assert await everything(scene, leased.job.id) == before
        await scene.apply(scene.finish(leased))
        before = await everything(scene, leased.job.id)
        for change in (started, output, progress):
            await scene.apply(change)
        assert await everything(scene, leased.job.id) == before


async def everything(scene: Scene, job_id: str) -> object:
    """All that is shown of a job: to compare before and after."""
    return (
        await scene.record(job_id),
        await scene.events(job_id),
        await scene.delivery_records(job_id),
    )
