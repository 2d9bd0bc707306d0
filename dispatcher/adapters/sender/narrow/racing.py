"""Which of a receiver's addresses answers first (RFC 8305), with two sockets at most."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Final

from dispatcher.adapters.sender.dial import AddressInfo

NEXT_ADDRESS_SECONDS: Final = 0.25
"""The next address is tried when one has not answered for so long (RFC 8305, 5),"""

AT_ONCE: Final = 2
"""beside the one before alone: a place in the pool opens no more sockets than this at a time. The
third is tried in the place of the first, so that one that swallows everything keeps nobody from the
others; the last two have the rest of the time."""


class Race:
    """Connects to addresses, each in a socket that `open_socket` makes."""

    def __init__(
        self, open_socket: Callable[[AddressInfo], socket.socket], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._open_socket = open_socket
        self._loop = loop

    async def first_of(self, addresses: Sequence[AddressInfo]) -> socket.socket:
        """Connected to the first of these that answers; every other socket is closed by then.

        Raises `OSError`: the first that came, when no address can be reached; what `open_socket`
        raises counts as such.
        """
        if len(addresses) == 1:
            return await self._connect(addresses[0])
        running: deque[asyncio.Task[socket.socket]] = deque()
        won: socket.socket | None = None
        try:
            won = await self._race(deque(in_turn(addresses)), running)
        finally:
            for task in running:
                _give_up(task)
            try:
                if running:
                    await asyncio.wait(running)
            except asyncio.CancelledError:
                if won is not None:
                    won.close()
                raise
        return won

    async def _race(
        self, left: deque[AddressInfo], running: deque[asyncio.Task[socket.socket]]
    ) -> socket.socket:
        """The first of `left` that has connected; what runs beside it is still in `running`."""
        faults: list[OSError] = []
        while left or running:
            if left:
                if len(running) == AT_ONCE:
                    longest = running.popleft()
                    longest.cancel()
                    await asyncio.wait([longest])  # its socket is closed by then
                running.append(self._loop.create_task(self._connect(left.popleft())))
            won = await _wait(running, faults, NEXT_ADDRESS_SECONDS if left else None)
            if won is not None:
                return won
        raise faults[0]

    async def _connect(self, info: AddressInfo) -> socket.socket:
        made = self._open_socket(info)
        try:
            made.setblocking(False)
            await self._loop.sock_connect(made, info[4])
        except BaseException:
            made.close()
            raise
        return made


async def _wait(
    running: deque[asyncio.Task[socket.socket]], faults: list[OSError], seconds: float | None
) -> socket.socket | None:
    """Wait until one has connected or failed, and take out those that failed."""
    done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in [each for each in running if each in done]:
        running.remove(task)
        fault = task.exception()
        if fault is None:
            return task.result()
        if not isinstance(fault, OSError):
            raise fault
        faults.append(fault)
    return None


def _give_up(task: asyncio.Task[socket.socket]) -> None:
    """Close what one has opened that has not won; it may have connected at the same moment."""
    if not task.cancel() and task.exception() is None:
        task.result().close()


def in_turn(addresses: Sequence[AddressInfo]) -> list[AddressInfo]:
    """By family in turn, beginning with that of the first (RFC 8305, 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for each in addresses:
        families.setdefault(each[0], []).append(each)
    return [each for each in chain(*zip_longest(*families.values())) if each is not None]
