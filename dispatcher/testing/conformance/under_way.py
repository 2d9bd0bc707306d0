"""Events whose commit is still to come: whoever follows never passes one.

Where several write at once, places in the order are given out before the commit. What is committed
behind one that is under way waits for it; so nobody who reads on from a cursor misses an event.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack

import pytest

from dispatcher.core.model import EventType
from dispatcher.ports.views import FeedPage
from dispatcher.testing.conformance.feeding import part, whole
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN

FEEDS = (ANN, BEN, None)


class Follower:
    """Follows a feed through one store, from its beginning, and notes how far its head was."""

    def __init__(
        self, scene: Scene, caller_id: str | None, types: Collection[EventType] | None = None
    ) -> None:
        self._scene = scene
        self._caller_id = caller_id
        self._types = types
        self._after: str | None = None
        self._marks: list[tuple[str, int]] = []
        self.seen: list[str] = []

    async def follow(self) -> FeedPage:
        """Read on to the end; the last page."""
        page = None
        while page is None or page.more:
            page = await part(
                self._scene.other, self._caller_id, after=self._after, types=self._types, limit=2
            )
            assert not page.gap
            for item in page.items:
                self.seen.append(item.event.id)
                self._marks.append((item.cursor, len(self.seen)))
            self._after = page.next
        heads = await self._scene.other.heads([], [self._caller_id])
        self._marks += [(page.next, len(self.seen)), (heads.feeds[self._caller_id], len(self.seen))]
        return page

    async def missed_nothing(self) -> bool:
        """Whether each event was seen once, in order; and goes on from each cursor, as from heads.

        Nothing is under way any more.
        """
        read = {"types": self._types}
        everything = await whole(self._scene.store, self._caller_id, **read)
        assert self.seen == everything
        assert len(set(everything)) == len(everything)
        for cursor, count in self._marks:
            rest = await whole(self._scene.store, self._caller_id, after=cursor, **read)
            assert rest == everything[count:]
        return True


class TestEventsUnderWay:
    async def test_two_that_commit_in_the_reverse_order_of_their_numbers(
        self, scene: Scene
    ) -> None:
        await scene.end()
        followers = [Follower(scene, caller_id) for caller_id in FEEDS]
        async with scene.backend.under_way(ANN) as first:
            async with scene.backend.under_way(ANN) as second:
                for each in followers:
                    await each.follow()
            for each in followers:
                await each.follow()
        for each in followers:
            await each.follow()
            assert await each.missed_nothing()
        assert [each.seen[-2:] == [first, second] for each in followers] == [True, False, True]

    @pytest.mark.parametrize("types", [None, {EventType.JOB_SUCCEEDED, EventType.PING}])
    async def test_one_is_held_open_while_others_commit(
        self, scene: Scene, types: Collection[EventType] | None
    ) -> None:
        followers = {caller_id: Follower(scene, caller_id, types) for caller_id in FEEDS}
        committed: dict[str | None, set[str]] = {caller_id: set() for caller_id in FEEDS}

        async def ends(caller_id: str) -> None:
            job = await scene.end(caller_id=caller_id)
            ids = {event.id for event in await scene.events(job.id)}
            committed[caller_id] |= ids
            committed[None] |= ids

        async def all_follow() -> None:
            for caller_id, each in followers.items():
                page = await each.follow()
                assert set(each.seen) <= committed[caller_id]
                # who may not be shown all that is committed is told that there is more
                assert page.held_back == (set(each.seen) != committed[caller_id])

        await ends(ANN)
        await all_follow()
        async with AsyncExitStack() as stack:
            slow = await stack.enter_async_context(scene.backend.under_way(ANN))
            at_once = slow in await whole(scene.store)
            for caller_id in (ANN, None) if at_once else ():
                committed[caller_id].add(slow)
            for caller_id in (ANN, BEN, BEN, ANN):
                await ends(caller_id)
                await all_follow()
        for caller_id in (ANN, None):
            committed[caller_id].add(slow)
        await all_follow()
        for caller_id, each in followers.items():
            assert set(each.seen) == committed[caller_id]
            assert await each.missed_nothing()

    async def test_erased_before_anybody_could_read_them(self, scene: Scene) -> None:
        """Readers are told of the gap; those who had read to the end before, too."""
        start = await part(scene.store)
        async with scene.backend.under_way(BEN):
            await scene.end(retention_seconds=1.0)
            await scene.advance(1)
            assert await scene.store.prune(10) == 1
            page = await part(scene.other, after=start.next)
            assert page.items == ()
        told = page.gap
        page = await part(scene.other, after=page.next)
        assert page.gap is not told
        kept = await scene.end()
        page = await part(scene.other, after=page.next)
        assert ([item.event.job_id for item in page.items], page.gap) == ([kept.id], False)
