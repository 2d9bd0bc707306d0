"""Callers as commands change them, in the store itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.cli.opening import opened
from dispatcher.core.errors import DispatcherError
from dispatcher.core.model import Caller
from dispatcher.engine.callers import Callers
from dispatcher.ports.store import Store
from dispatcher.settings import Settings

Answer = TypeVar("Answer")


class UnknownCaller(DispatcherError):
    """There is no caller of that name or id."""


@asynccontextmanager
async def callers_of(
    settings: Settings, *, make: bool = False
) -> AsyncIterator[tuple[Store, Callers]]:
    """The store, open, and what is done about the callers in it; with `make` it may be new."""
    async with opened(settings, make=make) as both:
        clock, ids, random = SystemClock(), Uuid7Ids(), SystemRandom()
        yield both.store, Callers(both.store, both.vault, clock, ids, random, both.telling)


async def with_caller(
    settings: Settings, name_or_id: str, do: Callable[[Callers, Caller], Awaitable[Answer]]
) -> Answer:
    """Do something about one caller; raises `UnknownCaller`."""
    async with callers_of(settings) as (store, callers):
        caller = await store.find_caller(name_or_id)
        if caller is None:
            raise UnknownCaller(
                f"there is no caller {name_or_id!r}: `dispatcher callers list` shows who is there"
            )
        return await do(callers, caller)
