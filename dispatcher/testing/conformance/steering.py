"""Destinations in the hands of operators: lists of them, pausing and resuming."""

from __future__ import annotations

from dispatcher.core.breaker import BreakerState, Sign
from dispatcher.core.changes import PauseDestination, Redeliver, ResumeDestination
from dispatcher.core.model import DeliveryState
from dispatcher.ports.records import Stale
from dispatcher.ports.views import DestinationFilter, DestinationRecord
from dispatcher.testing.conformance.breakers import FAILURES, fail, owe, to_path
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, ORIGIN, OTHER_ORIGIN, TERMS, a_callback

NOBODY = "dst_00000000000070008000000000000000"


async def known(scene: Scene, caller_id: str | None = None) -> list[DestinationRecord]:
    """The destinations, asked of the other store."""
    wanted = DestinationFilter(caller_id=caller_id)
    return list((await scene.other.list_destinations(wanted, limit=100, before=None)).items)


async def pause(scene: Scene) -> str:
    """Pause the only destination; its id."""
    (one,) = await known(scene)
    await scene.apply(PauseDestination(one.id, scene.now))
    return one.id


class TestListsOfDestinations:
    async def test_each_is_told_as_it_stands(self, scene: Scene) -> None:
        await owe(scene, TERMS.slots + 3)
        await scene.lease()
        await scene.advance(5)
        (one,) = await known(scene)
        assert one.id.startswith("dst_")
        assert one == DestinationRecord(
            id=one.id,
            caller_id=ANN,
            origin=ORIGIN,
            sending=TERMS.slots,
            waiting=3,
            due=3,
            oldest_due_at=scene.now - 5_000,
        )
        assert await scene.other.get_destination(one.id) == one

    async def test_what_waits_for_its_time_is_not_due(self, scene: Scene) -> None:
        await owe(scene, 2)
        for one in (await scene.lease()).deliveries:
            await scene.apply(scene.tried(one, after_seconds=60))
        (found,) = await known(scene)
        assert (found.waiting, found.due, found.oldest_due_at) == (2, 0, None)

    async def test_its_breaker_is_told(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        (found,) = await known(scene)
        assert found.breaker is BreakerState.OPEN
        assert found.open_until == scene.now + 30_000

    async def test_urls_in_trouble_are_counted(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_SERVICE)
        await fail(scene, Sign.NO_SERVICE, to_path("b"), count=FAILURES - 1)
        (found,) = await known(scene)
        assert (found.breaker, found.urls_in_trouble) == (BreakerState.CLOSED, 1)

    async def test_newest_first_in_pages_of_one_caller_or_all(self, scene: Scene) -> None:
        for origin in (ORIGIN, OTHER_ORIGIN, "https://third.example"):
            await owe(scene, 1, a_callback(origin))
        await owe(scene, 1, caller_id=BEN)
        assert [one.origin for one in await known(scene, ANN)] == [
            *("https://third.example", OTHER_ORIGIN),
            ORIGIN,
        ]
        assert [one.caller_id for one in await known(scene)] == [BEN, ANN, ANN, ANN]
        first = await scene.store.list_destinations(DestinationFilter(), limit=3, before=None)
        rest = await scene.store.list_destinations(DestinationFilter(), limit=3, before=first.next)
        assert [*first.items, *rest.items] == await known(scene)
        assert rest.next is None

    async def test_one_that_is_not_there(self, scene: Scene) -> None:
        assert await scene.store.get_destination(NOBODY) is None
        assert await scene.apply_all(
            PauseDestination(NOBODY, scene.now), ResumeDestination(NOBODY)
        ) == [Stale(), Stale()]


class TestPausing:
    async def test_nothing_is_leased_until_it_is_resumed(self, scene: Scene) -> None:
        await owe(scene, 2)
        paused = await pause(scene)
        await owe(scene, 1, a_callback(OTHER_ORIGIN))
        claimed = await scene.lease(store=scene.other)
        assert [one.delivery.origin for one in claimed.deliveries] == [OTHER_ORIGIN]
        assert claimed.next_at is None or claimed.next_at > scene.now
        applied = await scene.apply(ResumeDestination(paused))
        assert applied.delivery_ready_at is not None
        assert applied.delivery_ready_at <= scene.now
        assert len((await scene.lease()).deliveries) == 2

    async def test_hand_offs_wait_too(self, scene: Scene) -> None:
        await owe(scene, 2)
        (sending,) = (await scene.lease(limit=1)).deliveries
        await pause(scene)
        leased = await scene.running(callback=a_callback())
        applied = await scene.apply(scene.finish(leased, hand_off=True))
        assert (applied.handed, applied.delivery_ready_at) == ((), None)
        change = scene.tried(sending, DeliveryState.DELIVERED, hand_off=True)
        applied = await scene.apply(change)
        assert (applied.handed, applied.delivery_ready_at) == ((), None)
        again = Redeliver(delivery_id=sending.delivery.id, round=2, at=scene.now)
        assert (await scene.apply(again)).delivery_ready_at is None
        assert (await scene.lease()).deliveries == ()

    async def test_what_was_under_way_is_recorded(self, scene: Scene) -> None:
        sending = await scene.sending()
        await pause(scene)
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        assert (await scene.delivery(sending.delivery.id)).state is DeliveryState.DELIVERED

    async def test_it_stays_paused_through_crashes_and_pruning(self, scene: Scene) -> None:
        sending = await scene.sending()
        paused = await pause(scene)
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        since = scene.now
        await scene.backend.crash(scene.store)
        scene.store = await scene.backend.open()
        for _ in range(3):
            await scene.advance(40 * 86_400)
            await scene.store.prune(100)
        (found,) = await known(scene)
        assert (found.id, found.paused_at) == (paused, since)
        await owe(scene, 1)
        assert (await scene.lease()).deliveries == ()

    async def test_a_second_one_changes_nothing(self, scene: Scene) -> None:
        await owe(scene, 1)
        paused = await pause(scene)
        since = scene.now
        await scene.advance(5)
        await pause(scene)
        assert (await known(scene))[0].paused_at == since
        for _ in range(2):
            await scene.apply(ResumeDestination(paused))
        assert (await known(scene))[0].paused_at is None

    async def test_an_idle_one_is_forgotten_once_nothing_is_to_be_said_of_it(
        self, scene: Scene
    ) -> None:
        sending = await scene.sending()
        paused = await pause(scene)
        await scene.apply(scene.tried(sending, DeliveryState.DELIVERED))
        await scene.apply(ResumeDestination(paused))
        await scene.lease()
        await scene.store.prune(100)
        assert await known(scene) == []

    async def test_a_breaker_is_forgotten_a_day_after_it_last_spoke(self, scene: Scene) -> None:
        await fail(scene, Sign.NO_CONNECTION)
        await fail(scene, Sign.NO_SERVICE, a_callback(OTHER_ORIGIN))
        await scene.lease()
        await scene.advance(86_400)
        await scene.store.prune(100)
        assert len(await known(scene)) == 2
        await scene.advance(0.001)
        await scene.store.prune(100)
        await scene.store.prune(100)
        assert await known(scene) == []
