"""The feed: every event once, in the order of the commits, and whoever missed some is told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from dispatcher.core.model import EventType, JobState
from dispatcher.ports.store import Store
from dispatcher.ports.views import FeedPage
from dispatcher.testing.conformance.changing import note_output
from dispatcher.testing.conformance.reading import ended_with
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, a_callback

_MOST_PAGES = 1_000


async def part(
    store: Store,
    caller_id: str | None = ANN,
    *,
    after: str | None = None,
    types: Collection[EventType] | None = None,
    limit: int = 100,
) -> FeedPage:
    return await store.list_feed(caller_id, after=after, types=types, limit=limit)


async def whole(store: Store, caller_id: str | None = ANN, **more: Any) -> list[str]:
    """The ids of all events from a cursor on, page by page."""
    after = more.pop("after", None)
    found: list[str] = []
    for _ in range(_MOST_PAGES):
        page = await part(store, caller_id, after=after, **more)
        assert not page.gap
        found += [item.event.id for item in page.items]
        if not page.more:
            return found
        after = page.next
    raise AssertionError(f"a feed goes on after {_MOST_PAGES} pages")


class TestFeed:
    async def test_every_event_in_the_order_of_its_commit(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(note_output(scene, leased.job, leased.lease))
        other = await scene.end()
        await scene.apply(scene.finish(leased, result=b'"r"'))
        expected = [
            *[event.id for event in (await scene.events(leased.job.id))[:1]],
            *[event.id for event in await scene.events(other.id)],
            *[event.id for event in (await scene.events(leased.job.id))[1:]],
        ]
        for limit in (1, 2, 3, 100):
            assert await whole(scene.other, limit=limit) == expected
            assert await whole(scene.other, None, limit=limit) == expected

    async def test_an_event_comes_with_its_job_and_the_last_with_its_result(
        self, scene: Scene
    ) -> None:
        leased = await scene.running()
        await scene.apply(note_output(scene, leased.job, leased.lease))
        await scene.apply(scene.finish(leased, result=b'"r"'))
        job = (await scene.record(leased.job.id)).job
        items = (await part(scene.other)).items
        listed = await scene.other.list_events(job.id, ANN, limit=10, after=0)
        assert listed is not None
        assert [(item.event, item.result) for item in items] == list(listed[1])
        assert [item.job for item in items] == [job, job]
        assert items[-1].result == b'"r"'

    async def test_a_result_too_long_does_not_come(self, scene: Scene) -> None:
        await ended_with(scene, b'"' + b"x" * 65_535 + b'"')
        assert [item.result for item in (await part(scene.store)).items] == [None]

    async def test_a_caller_has_its_own_alone(self, scene: Scene) -> None:
        mine = await scene.end(caller_id=ANN)
        others = await scene.end(caller_id=BEN)
        for caller_id, jobs in ((ANN, [mine]), (BEN, [others]), (None, [mine, others])):
            page = await part(scene.store, caller_id)
            assert [item.event.job_id for item in page.items] == [job.id for job in jobs]
        assert (await part(scene.store, "clr_nobody")).items == ()

    async def test_types(self, scene: Scene) -> None:
        leased = await scene.running()
        await scene.apply(note_output(scene, leased.job, leased.lease))
        await scene.apply(scene.finish(leased))
        failed = await scene.end(JobState.FAILED)
        wanted = {EventType.JOB_FAILED, EventType.JOB_OUTPUT}
        items = (await part(scene.store, types=wanted)).items
        assert [(item.event.type, item.event.job_id) for item in items] == [
            (EventType.JOB_OUTPUT, leased.job.id),
            (EventType.JOB_FAILED, failed.id),
        ]
        page = await part(scene.store, types={EventType.PING})
        assert (page.items, page.more) == ((), False)
        # and what did not fit is not looked at again
        assert page.next == (await part(scene.store)).next

    async def test_a_cursor_goes_on_where_it_was_made(self, scene: Scene) -> None:
        for _ in range(3):
            await scene.end()
        page = await part(scene.store)
        ids = [item.event.id for item in page.items]
        for number, item in enumerate(page.items, 1):
            assert await whole(scene.other, after=item.cursor) == ids[number:]
        assert await whole(scene.other, after=page.next) == []
        first = await part(scene.store, limit=1)
        assert await whole(scene.other, after=first.next) == ids[1:]

    async def test_a_cursor_at_the_end_has_what_comes_later(self, scene: Scene) -> None:
        empty = await part(scene.store)
        assert (empty.items, empty.more, empty.gap) == ((), False, False)
        job = await scene.end()
        page = await part(scene.other, after=empty.next)
        assert [item.event.job_id for item in page.items] == [job.id]
        again = await part(scene.store, after=page.next)
        assert (again.items, again.next) == ((), page.next)

    async def test_a_cursor_of_another_kind_is_told_of_a_gap(self, scene: Scene) -> None:
        job = await scene.end()
        await scene.end(caller_id=BEN)
        await scene.advance(3_601)
        kept = await scene.end()
        await scene.store.prune(100)
        for cursor in ("", "no cursor", "-1", "9" * 40, "\N{ARABIC-INDIC DIGIT ONE}", "1.2.3"):
            page = await part(scene.store, after=cursor)
            assert page.gap, cursor
            assert [item.event.job_id for item in page.items] == [kept.id]
        assert job.id != kept.id


class TestErasedEvents:
    async def test_who_missed_some_is_told_once(self, scene: Scene) -> None:
        start = await part(scene.store)
        await scene.end(retention_seconds=10.0)
        kept = [await scene.end() for _ in range(2)]
        await scene.advance(11)
        assert await scene.store.prune(100) == 1
        page = await part(scene.other, after=start.next, limit=1)
        assert page.gap
        assert [item.event.job_id for item in page.items] == [kept[0].id]
        for cursor in (page.next, page.items[0].cursor):
            following = await part(scene.other, after=cursor)
            assert not following.gap
            assert [item.event.job_id for item in following.items] == [kept[1].id]

    async def test_who_has_read_them_is_not_told(self, scene: Scene) -> None:
        await scene.end(retention_seconds=10.0)
        page = await part(scene.store)
        await scene.advance(11)
        await scene.store.prune(100)
        for cursor in (page.next, page.items[-1].cursor):
            again = await part(scene.other, after=cursor)
            assert (again.items, again.gap) == ((), False)

    async def test_who_begins_is_not_told_and_not_later_either(self, scene: Scene) -> None:
        first = await scene.end()
        await scene.end(retention_seconds=10.0)
        last = await scene.end()
        await scene.advance(11)
        await scene.store.prune(100)
        events = [*await scene.events(first.id), *await scene.events(last.id)]
        assert await whole(scene.other, limit=1) == [event.id for event in events]

    async def test_erased_ones_of_another_are_no_gap(self, scene: Scene) -> None:
        start, everyones = await part(scene.store), await part(scene.store, None)
        await scene.end(caller_id=BEN, retention_seconds=10.0)
        await scene.advance(11)
        await scene.store.prune(100)
        assert not (await part(scene.store, ANN, after=start.next)).gap
        assert (await part(scene.store, BEN, after=start.next)).gap
        assert (await part(scene.store, None, after=everyones.next)).gap

    async def test_an_end_is_an_end_however_much_is_erased(self, scene: Scene) -> None:
        start = await part(scene.store)
        await scene.end(retention_seconds=10.0)
        await scene.advance(11)
        await scene.store.prune(100)
        page = await part(scene.store, after=start.next)
        assert (page.items, page.gap) == ((), True)
        again = await part(scene.store, after=page.next)
        assert (again.gap, again.next) == (False, page.next)
        assert (await scene.store.heads([], [ANN])).feeds == {ANN: page.next}


class TestHeads:
    async def test_versions_of_jobs(self, scene: Scene) -> None:
        leased = await scene.running()
        (waiting,) = await scene.add()
        before = (await scene.record(leased.job.id)).job.version
        heads = await scene.other.heads([waiting.id, leased.job.id, "job_none"], [])
        assert heads.jobs == {waiting.id: waiting.version, leased.job.id: before}
        assert heads.feeds == {}
        await scene.apply(scene.finish(leased))
        heads = await scene.other.heads([leased.job.id], [])
        assert heads.jobs[leased.job.id] == (await scene.record(leased.job.id)).job.version > before

    async def test_a_feeds_head_is_where_its_reader_ends(self, scene: Scene) -> None:
        asked = (ANN, BEN, None, "clr_nobody")
        for _ in range(2):
            heads = await scene.other.heads([], asked)
            for caller_id in asked:
                assert heads.feeds[caller_id] == (await part(scene.store, caller_id)).next
            await scene.end(caller_id=BEN, callback=a_callback())
        before = heads.feeds
        heads = await scene.other.heads([], asked)
        assert heads.feeds[BEN] != before[BEN]
        assert heads.feeds[None] != before[None]
        assert heads.feeds[ANN] == before[ANN]

    async def test_many_at_once(self, scene: Scene) -> None:
        jobs = await scene.add(count=3)
        many = [job.id for job in jobs] + [f"job_{number:032x}" for number in range(2_000)]
        assert set((await scene.store.heads(many, [ANN])).jobs) == {job.id for job in jobs}


class TestFollowing:
    async def test_followers_see_each_event_once_while_two_stores_write(self, scene: Scene) -> None:
        """Readers on both stores, page by page, while writers commit at the same time."""
        jobs, outputs = 12, 6
        leased = [await scene.running() for _ in range(jobs)]
        total = jobs * (outputs + 1)

        async def write(number: int) -> None:
            store = scene.store if number % 2 else scene.other
            each = leased[number]
            for _ in range(outputs):
                await scene.apply(note_output(scene, each.job, each.lease), store=store)
            await scene.apply(scene.finish(each), store=store)

        async def follow(store: Store, limit: int) -> list[str]:
            seen: list[str] = []
            after = None
            async with asyncio.timeout(60):
                while len(seen) < total:
                    page = await part(store, after=after, limit=limit)
                    seen += [item.event.id for item in page.items]
                    after = page.next
                    assert not page.gap
            assert (await part(store, after=after)).items == ()
            return seen

        following = [
            asyncio.create_task(follow(store, limit))
            for store in (scene.store, scene.other)
            for limit in (1, 3, 100)
        ]
        await asyncio.gather(*(write(number) for number in range(jobs)))
        orders = await asyncio.gather(*following)
        assert all(order == orders[0] for order in orders)
        assert len(set(orders[0])) == total
        for each in leased:
            own = [event.id for event in await scene.events(each.job.id)]
            assert [event_id for event_id in orders[0] if event_id in own] == own
