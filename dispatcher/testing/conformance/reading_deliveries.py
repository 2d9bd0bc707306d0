"""What is shown of deliveries: one, and lists of them."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.changes import EndDelivery
from dispatcher.core.model import DeliveryState, EventType, JobState
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, ORIGIN, OTHER_ORIGIN, a_callback


class TestOneDelivery:
    async def test_with_its_attempts_for_its_caller_and_for_operators(self, scene: Scene) -> None:
        leased = await scene.sending()
        changes = [scene.tried(leased, after_seconds=0)]
        await scene.apply(changes[0])
        (leased,) = (await scene.lease()).deliveries
        changes.append(scene.tried(leased, DeliveryState.DEAD))
        await scene.apply(changes[1])
        for caller_id in (ANN, None):
            record = await scene.other.get_delivery(leased.delivery.id, caller_id)
            assert record is not None
            assert [record] == await scene.delivery_records()
            assert list(record.attempts) == [change.attempt for change in changes]

    async def test_another_callers_is_not_there(self, scene: Scene) -> None:
        (owed,) = await scene.owed(caller_id=ANN)
        assert await scene.store.get_delivery(owed, BEN) is None
        assert await scene.store.get_delivery(scene.ids.new("dlv"), None) is None


class TestListsOfDeliveries:
    async def test_newest_first_in_pages(self, scene: Scene) -> None:
        owed = await scene.owed(*(f"https://r{number}.example" for number in range(5)))
        for limit in (1, 2, 100):
            records = await scene.delivery_records(limit=limit)
            assert [record.delivery.id for record in records] == owed[::-1]

    async def test_by_job_and_by_caller(self, scene: Scene) -> None:
        anns = await scene.owed(caller_id=ANN)
        bens = await scene.owed(caller_id=BEN)
        found = await scene.delivery_records(caller_id=BEN)
        assert [record.delivery.id for record in found] == bens
        job_id = (await scene.delivery(anns[0])).job_id
        assert [d.id for d in await scene.deliveries(job_id)] == anns
        assert await scene.delivery_records(job_id, caller_id=BEN) == []

    @pytest.mark.parametrize(
        ("member", "value", "other"),
        [
            ("url", f"{ORIGIN}/hook", f"{OTHER_ORIGIN}/hook"),
            ("event_type", EventType.JOB_SUCCEEDED, EventType.JOB_FAILED),
            ("caller_id", ANN, BEN),
        ],
    )
    async def test_each_filter(self, scene: Scene, member: str, value: str, other: str) -> None:
        wanted: list[str] = []
        for _ in range(3):
            wanted += await owed_with(scene, member, value)
            await owed_with(scene, member, other)
        found = await scene.delivery_records(limit=2, **{member: value})
        assert [record.delivery.id for record in found] == wanted[::-1]

    async def test_each_state_of_a_caller_and_of_all(self, scene: Scene) -> None:
        by_state: dict[DeliveryState, list[str]] = {}
        for state in DeliveryState:
            by_state[state] = [await in_state(scene, state, caller) for caller in (BEN, ANN)]
        for state, (bens, anns) in by_state.items():
            found = await scene.delivery_records(state=state, limit=1)
            assert [record.delivery.id for record in found] == [anns, bens], state
            found = await scene.delivery_records(state=state, caller_id=BEN)
            assert [record.delivery.id for record in found] == [bens], state
            assert await scene.delivery_records(state=state, url="https://none.example/") == []

    async def test_by_time_of_creation(self, scene: Scene) -> None:
        owed: list[str] = []
        start = scene.now
        for _ in range(5):
            owed += await scene.owed()
            await scene.advance(10)
        wanted: dict[str, Any] = {"created_after": start + 5_000, "created_before": start + 35_000}
        for more in ({}, {"caller_id": ANN}):
            found = await scene.delivery_records(limit=2, **wanted, **more)
            assert [record.delivery.id for record in found] == owed[3:0:-1]

    async def test_a_rare_one_among_many_is_found(self, scene: Scene) -> None:
        """In the first page: what was delivered is not looked through."""
        dead = (await scene.sending(caller_id=BEN)).delivery.id
        await scene.store.end_other_leases(await scene.hold())
        (leased,) = (await scene.lease()).deliveries
        await scene.apply(scene.tried(leased, DeliveryState.DEAD))
        await scene.owed(*[OTHER_ORIGIN] * 100)
        filters: list[dict[str, Any]] = [
            {"state": DeliveryState.DEAD},
            {"state": DeliveryState.DEAD, "caller_id": BEN},
            {"caller_id": BEN},
        ]
        for members in filters:
            (record,) = await scene.delivery_records(limit=5, **members)
            assert record.delivery.id == dead


async def owed_with(scene: Scene, member: str, value: str) -> list[str]:
    """A pending delivery of which `member` has that value."""
    origin, caller_id, to = ORIGIN, ANN, JobState.SUCCEEDED
    match member:
        case "url":
            origin = value.removesuffix("/hook")
        case "caller_id":
            caller_id = value
        case _:
            to = JobState(value.removeprefix("job."))
    job = await scene.end(to, callback=a_callback(origin), caller_id=caller_id)
    return [delivery.id for delivery in await scene.deliveries(job.id)]


async def in_state(scene: Scene, state: DeliveryState, caller_id: str) -> str:
    """A delivery that stands so, for a destination of its own."""
    origin = f"https://{state}.example"
    (owed,) = await scene.owed(origin, caller_id=caller_id)
    if state is DeliveryState.PENDING:
        return owed
    if state is DeliveryState.CANCELED:
        await scene.apply(EndDelivery(owed, state, scene.now))
        return owed
    for leased in (await scene.lease()).deliveries:
        if leased.delivery.id != owed:
            await scene.apply(scene.tried(leased, after_seconds=60))
        elif state is not DeliveryState.SENDING:
            await scene.apply(scene.tried(leased, state))
    return owed
