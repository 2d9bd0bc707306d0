"""Seeing from outside when a part of the engine has nothing left to do."""

from __future__ import annotations

import asyncio

from dispatcher.core.model import Instant
from dispatcher.engine.loop import ClaimLoop
from dispatcher.engine.secrets import Secrets, SigningKeys


class Watch:
    """Tells when a loop rests: it has no claim under way, and nobody has woken it for one."""

    def __init__(self, loop: ClaimLoop) -> None:
        self._loop = loop
        self._claims = 0
        self._looks = 0
        self._came_back = asyncio.Event()
        claim = loop._claim

        async def watched() -> Instant | None:
            self._claims += 1
            try:
                return await claim()
            finally:
                self._claims -= 1
                self._looks += 1
                self._came_back.set()

        loop._claim = watched

    @property
    def rests(self) -> bool:
        return not self._claims and not self._loop._bell._rung.is_set()

    async def until_it_looked(self, times: int) -> None:
        """Wait until so many claims have come back from now on."""
        wanted = self._looks + times
        async with asyncio.timeout(60):
            while self._looks < wanted:
                self._came_back.clear()
                await self._came_back.wait()

    async def until_it_rests(self) -> None:
        async with asyncio.timeout(60):
            while not self.rests:
                self._came_back.clear()
                await self._came_back.wait()


class LookUps:
    """Tells when no delivery waits for what it is signed with."""

    def __init__(self, secrets: Secrets) -> None:
        self._under_way = 0
        self._done = asyncio.Event()
        self._done.set()
        self._look_up = secrets.look_up
        secrets.look_up = self._watched  # type: ignore[method-assign]  # to be watched

    async def _watched(self, owner: str, *, endpoint: bool) -> SigningKeys:
        self._under_way += 1
        self._done.clear()
        try:
            return await self._look_up(owner, endpoint=endpoint)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._done.set()

    async def until_done(self) -> None:
        async with asyncio.timeout(60):
            await self._done.wait()
