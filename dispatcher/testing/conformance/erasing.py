"""Erasing a job at its caller's word, and knowing for a while what was erased."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.core.model import DeliveryState, JobState
from dispatcher.core.ordering import OnDead
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS, Erasure
from dispatcher.ports.records import DEAD_KEPT_SECONDS
from dispatcher.testing.conformance.auditing import an_entry, log
from dispatcher.testing.conformance.registered import registered, sent_to
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, TERMS, a_callback


async def erase(
    scene: Scene, job_id: str, caller_id: str | None = ANN, *, cancel: bool = False
) -> Erasure:
    return await scene.store.erase_job(job_id, caller_id, TERMS, cancel_deliveries=cancel)


class TestErasing:
    @pytest.mark.parametrize("caller_id", [ANN, None])
    async def test_what_is_done_goes_with_all_of_its_own(
        self, scene: Scene, caller_id: str | None
    ) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        job_id = sending.delivery.job_id or ""
        assert await erase(scene, job_id, caller_id) is Erasure.ERASED
        assert await scene.other.get_job(job_id, None) is None
        assert await scene.other.get_result(job_id, None) is None
        assert await scene.other.get_input(job_id, None) is None
        assert await scene.other.list_events(job_id, None, limit=10, after=0) is None
        assert await scene.other.get_delivery(sending.delivery.id, None) is None
        assert await scene.delivery_records() == []

    async def test_no_row_is_left_behind(self, scene: Scene) -> None:
        counts = []
        for _ in range(3):
            job = await scene.end(callback=a_callback())
            assert await erase(scene, job.id, cancel=True) is Erasure.ERASED
            await scene.advance(ERASED_KEPT_SECONDS)
            await scene.store.prune(100)
            counts.append(await scene.backend.count_rows())
        assert counts == counts[:1] * 3

    async def test_once_more_changes_nothing(self, scene: Scene) -> None:
        job = await scene.end()
        assert await erase(scene, job.id) is Erasure.ERASED
        assert await erase(scene, job.id) is Erasure.ERASED
        assert await erase(scene, job.id, BEN) is Erasure.NO_JOB

    async def test_what_was_pruned_is_erased_already(self, scene: Scene) -> None:
        job = await scene.end(retention_seconds=1)
        await scene.advance(1)
        assert await scene.store.prune(10) == 1
        assert await erase(scene, job.id) is Erasure.ERASED

    async def test_anothers_or_none(self, scene: Scene) -> None:
        job = await scene.end()
        assert await erase(scene, job.id, BEN) is Erasure.NO_JOB
        assert await erase(scene, scene.ids.new("job")) is Erasure.NO_JOB
        assert (await scene.record(job.id)).result is not None

    async def test_what_is_not_done_stays(self, scene: Scene) -> None:
        (waiting,) = await scene.add(due_at=scene.now + 1000)
        running = await scene.running()
        for job_id in (waiting.id, running.job.id):
            assert await erase(scene, job_id, cancel=True) is Erasure.NOT_DONE
            await scene.record(job_id)

    async def test_what_owes_a_delivery_stays_unless_that_is_canceled(self, scene: Scene) -> None:
        job = await scene.end(callback=a_callback())
        assert await erase(scene, job.id) is Erasure.OWES
        (owed,) = await scene.deliveries(job.id)
        assert owed.state is DeliveryState.PENDING
        assert await erase(scene, job.id, cancel=True) is Erasure.ERASED
        assert (await scene.lease()).deliveries == ()

    async def test_one_being_sent_is_asked_to_cancel_and_keeps_the_job(self, scene: Scene) -> None:
        sending = await scene.sending()
        job_id = sending.delivery.job_id or ""
        assert await erase(scene, job_id) is Erasure.OWES
        assert (await scene.delivery(sending.delivery.id)).cancel_requested_at is None
        assert await erase(scene, job_id, cancel=True) is Erasure.SENDING
        assert (await scene.delivery(sending.delivery.id)).cancel_requested_at == scene.now
        result = await scene.apply(scene.tried(sending, after_seconds=5))
        assert result.canceled
        assert await erase(scene, job_id) is Erasure.ERASED

    async def test_what_was_asked_before_and_changes_nothing_is_not_audited(
        self, scene: Scene
    ) -> None:
        """A client repeats it until the attempt has ended: each left an entry."""
        sending = await scene.sending()
        job_id = sending.delivery.job_id or ""
        entries = [an_entry(scene, target=job_id) for _ in range(4)]
        answers = []
        for entry in entries:
            if entry is entries[-1]:
                assert (await scene.apply(scene.tried(sending, after_seconds=5))).canceled
            answers.append(
                await scene.store.erase_job(
                    job_id, None, TERMS, cancel_deliveries=True, entry=entry
                )
            )
        assert answers == [*[Erasure.SENDING] * 3, Erasure.ERASED]
        assert await log(scene) == [entries[-1], entries[0]]

    async def test_a_dead_delivery_keeps_it_from_pruning_alone(self, scene: Scene) -> None:
        sending = await scene.sending()
        await scene.apply(scene.tried(sending, DeliveryState.DEAD))
        assert await erase(scene, sending.delivery.job_id or "") is Erasure.ERASED

    async def test_others_at_the_destination_are_sent_as_before(self, scene: Scene) -> None:
        job = await scene.end(callback=a_callback())
        await scene.owed()
        assert await erase(scene, job.id, cancel=True) is Erasure.ERASED
        (leased,) = (await scene.lease(terms=TERMS)).deliveries
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))

    @pytest.mark.parametrize("first", [DeliveryState.PENDING, DeliveryState.DEAD])
    async def test_what_stood_in_its_order_goes_on(
        self, scene: Scene, first: DeliveryState
    ) -> None:
        """Two of one key, one after another; a dead one keeps the next waiting."""
        callback = replace(a_callback(), ordered=OnDead.BLOCK)
        jobs = [await scene.end(callback=callback, ordering_key="k") for _ in range(2)]
        if first is DeliveryState.DEAD:
            (leased,) = (await scene.lease()).deliveries
            await scene.apply(scene.tried(leased, first))
            assert (await scene.lease()).deliveries == ()
        assert await erase(scene, jobs[0].id, cancel=True) is Erasure.ERASED
        (leased,) = (await scene.lease()).deliveries
        assert leased.delivery.job_id == jobs[1].id


class TestWhatWasErased:
    @pytest.mark.parametrize("by_pruning", [False, True])
    async def test_it_is_known_of_jobs_and_deliveries(
        self, scene: Scene, *, by_pruning: bool
    ) -> None:
        sending = await scene.sending(retention_seconds=1)
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        ids = [sending.delivery.job_id or "", sending.delivery.id]
        for each in ids:
            assert not await scene.other.was_erased(each, None)
        if by_pruning:
            await scene.advance(1)
            assert await scene.store.prune(10) == 1
        else:
            assert await erase(scene, ids[0]) is Erasure.ERASED
        for each in ids:
            assert await scene.other.was_erased(each, None)
            assert await scene.other.was_erased(each, ANN)
            assert not await scene.other.was_erased(each, BEN)

    async def test_it_is_known_of_deliveries_of_no_job(self, scene: Scene) -> None:
        endpoint = await registered(scene)
        pinged = await scene.store.ping_endpoint(endpoint.id, "evt_1", scene.now, TERMS)
        assert pinged is not None
        leased = await sent_to(scene, endpoint.id)
        await scene.apply(scene.tried(leased, DeliveryState.DELIVERED))
        assert not await scene.other.was_erased(pinged.delivery_id, None)
        await scene.advance(DEAD_KEPT_SECONDS)
        await scene.store.prune(10)
        assert await scene.other.get_delivery(pinged.delivery_id, None) is None
        assert await scene.other.was_erased(pinged.delivery_id, None)
        assert await scene.other.was_erased(pinged.delivery_id, ANN)
        assert not await scene.other.was_erased(pinged.delivery_id, BEN)
        await scene.advance(ERASED_KEPT_SECONDS)
        assert not await scene.other.was_erased(pinged.delivery_id, None)

    async def test_for_thirty_days(self, scene: Scene) -> None:
        job = await scene.end(JobState.FAILED)
        await erase(scene, job.id)
        await scene.advance(ERASED_KEPT_SECONDS - 0.001)
        await scene.store.prune(10)
        assert await scene.other.was_erased(job.id, ANN)
        rows = await scene.backend.count_rows()
        await scene.advance(0.001)
        assert not await scene.other.was_erased(job.id, ANN)
        await scene.store.prune(10)
        assert await scene.backend.count_rows() == rows - 1
        assert await erase(scene, job.id) is Erasure.NO_JOB

    async def test_what_never_was_is_not(self, scene: Scene) -> None:
        assert not await scene.other.was_erased(scene.ids.new("job"), None)
