"""Names are looked up once for all who wait, many at a time, and nobody waits for a silent one."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from dispatcher.adapters.resolver import LookupFailed, Resolver, system_addresses


class Lookups:
    """A lookup that blocks until a test lets the name go."""

    def __init__(self, *, blocking: bool = True) -> None:
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self._blocking = blocking
        self._gates: dict[str, threading.Event] = {}
        self._begun = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self.failure: Exception | None = None

    def gate(self, host: str) -> threading.Event:
        return self._gates.setdefault(host, threading.Event())

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        asyncio.run_coroutine_threadsafe(self._tell(), self._loop)
        if self._blocking:
            assert self.gate(host).wait(10)
        if self.failure is not None:
            raise self.failure
        return (f"{host}-1", f"{host}-2")

    async def _tell(self) -> None:
        async with self._begun:
            self._begun.notify_all()

    async def begun(self, count: int) -> None:
        async with self._begun, asyncio.timeout(10):
            await self._begun.wait_for(lambda: len(self.asked) >= count)


async def test_a_name_is_looked_up_once_for_all_who_wait() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups)
    waiting = [asyncio.create_task(resolver.addresses("a.test")) for _ in range(50)]
    await lookups.begun(1)
    lookups.gate("a.test").set()
    assert await asyncio.gather(*waiting) == [("a.test-1", "a.test-2")] * 50
    assert lookups.asked == ["a.test"]
    assert threading.current_thread().name not in lookups.threads


async def test_an_answer_is_used_again_for_a_short_time() -> None:
    now = 0.0
    lookups = Lookups(blocking=False)
    resolver = Resolver(lookup=lookups, ttl_seconds=5, monotonic=lambda: now)
    await resolver.addresses("a.test")
    now = 4.999
    await resolver.addresses("a.test")
    assert lookups.asked == ["a.test"]
    now = 5.0
    await resolver.addresses("a.test")
    assert lookups.asked == ["a.test"] * 2


async def test_a_failure_is_told_to_all_and_asked_again() -> None:
    lookups = Lookups()
    lookups.failure = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    resolver = Resolver(lookup=lookups)
    waiting = [asyncio.create_task(resolver.addresses("a.test")) for _ in range(3)]
    await lookups.begun(1)
    lookups.gate("a.test").set()
    for failed in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(failed, LookupFailed)
        assert str(failed) == "Name or service not known"
    lookups.failure = None
    assert await resolver.addresses("a.test") == ("a.test-1", "a.test-2")


@pytest.mark.parametrize("failure", [UnicodeError("label too long"), OSError()])
async def test_whatever_the_system_raises_is_a_failed_lookup(failure: Exception) -> None:
    lookups = Lookups(blocking=False)
    lookups.failure = failure
    with pytest.raises(LookupFailed, match=r"lookup|looked up"):
        await Resolver(lookup=lookups).addresses("a.test")


async def test_no_address_is_a_failure() -> None:
    with pytest.raises(LookupFailed, match="no address"):
        await Resolver(lookup=lambda _: ()).addresses("a.test")


async def test_a_silent_name_holds_up_only_those_who_want_it() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=2)
    silent = asyncio.create_task(resolver.addresses("silent.test"))
    await lookups.begun(1)
    for name in ("a.test", "b.test", "c.test"):
        lookups.gate(name).set()
    results = await asyncio.gather(*[resolver.addresses(f"{name}.test") for name in "abc"])
    assert [found[0] for found in results] == ["a.test-1", "b.test-1", "c.test-1"]
    assert not silent.done()
    lookups.gate("silent.test").set()
    await silent


async def test_threads_are_bounded_and_the_rest_wait_their_turn() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=2)
    names = [f"{n}.test" for n in range(5)]
    waiting = [asyncio.create_task(resolver.addresses(name)) for name in names]
    await lookups.begun(2)
    assert lookups.asked == names[:2]
    for done, name in enumerate(names):
        lookups.gate(name).set()
        await waiting[done]
    assert lookups.asked == names


async def test_who_gives_up_leaves_the_others_waiting() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups)
    first = asyncio.create_task(resolver.addresses("a.test"))
    second = asyncio.create_task(resolver.addresses("a.test"))
    await lookups.begun(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    lookups.gate("a.test").set()
    assert await second == ("a.test-1", "a.test-2")


async def test_a_name_that_all_gave_up_on_is_not_looked_up() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    busy = asyncio.create_task(resolver.addresses("busy.test"))
    abandoned = asyncio.create_task(resolver.addresses("abandoned.test"))
    wanted = asyncio.create_task(resolver.addresses("wanted.test"))
    await lookups.begun(1)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    lookups.gate("wanted.test").set()
    lookups.gate("busy.test").set()
    await asyncio.gather(busy, wanted)
    assert lookups.asked == ["busy.test", "wanted.test"]
    lookups.gate("abandoned.test").set()
    assert await resolver.addresses("abandoned.test")


async def test_what_is_remembered_is_bounded() -> None:
    lookups = Lookups(blocking=False)
    resolver = Resolver(lookup=lookups, most_names=3)
    for number in range(10):
        await resolver.addresses(f"{number}.test")
    assert sorted(resolver._known) == ["7.test", "8.test", "9.test"]
    assert not resolver._pending


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in await Resolver().addresses("127.0.0.1")
    assert system_addresses("127.0.0.1") == ("127.0.0.1",)
