"""Names are looked up once for all who wait, many at a time, and nobody waits for a silent one."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from dispatcher.adapters.resolver import LookupFailed, Resolver, system_addresses
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.receiver import Receiver
from tests.sender.conftest import MakeSender, callout


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

    def let_all_go(self) -> None:
        """Nothing blocks any more."""
        self._blocking = False
        for gate in list(self._gates.values()):
            gate.set()

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
    waiting = [asyncio.create_task(resolver.addresses("a.test", "ann")) for _ in range(50)]
    await lookups.begun(1)
    lookups.gate("a.test").set()
    assert await asyncio.gather(*waiting) == [("a.test-1", "a.test-2")] * 50
    assert lookups.asked == ["a.test"]
    assert threading.current_thread().name not in lookups.threads


async def test_an_answer_is_used_again_for_a_short_time() -> None:
    now = 0.0
    lookups = Lookups(blocking=False)
    resolver = Resolver(lookup=lookups, ttl_seconds=5, monotonic=lambda: now)
    await resolver.addresses("a.test", "ann")
    now = 4.999
    await resolver.addresses("a.test", "ann")
    assert lookups.asked == ["a.test"]
    now = 5.0
    await resolver.addresses("a.test", "ann")
    assert lookups.asked == ["a.test"] * 2


async def test_a_failure_is_told_to_all_and_asked_again() -> None:
    lookups = Lookups()
    lookups.failure = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    resolver = Resolver(lookup=lookups)
    waiting = [asyncio.create_task(resolver.addresses("a.test", "ann")) for _ in range(3)]
    await lookups.begun(1)
    lookups.gate("a.test").set()
    for failed in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(failed, LookupFailed)
        assert str(failed) == "Name or service not known"
    lookups.failure = None
    assert await resolver.addresses("a.test", "ann") == ("a.test-1", "a.test-2")


@pytest.mark.parametrize("failure", [UnicodeError("label too long"), OSError()])
async def test_whatever_the_system_raises_is_a_failed_lookup(failure: Exception) -> None:
    lookups = Lookups(blocking=False)
    lookups.failure = failure
    with pytest.raises(LookupFailed, match=r"lookup|looked up"):
        await Resolver(lookup=lookups).addresses("a.test", "ann")


async def test_no_address_is_a_failure() -> None:
    with pytest.raises(LookupFailed, match="no address"):
        await Resolver(lookup=lambda _: ()).addresses("a.test", "ann")


async def test_a_silent_name_holds_up_only_those_who_want_it() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=3)
    silent = asyncio.create_task(resolver.addresses("silent.test", "ann"))
    await lookups.begun(1)
    for name in ("a.test", "b.test", "c.test"):
        lookups.gate(name).set()
    results = await asyncio.gather(*[resolver.addresses(f"{name}.test", "ann") for name in "abc"])
    assert [found[0] for found in results] == ["a.test-1", "b.test-1", "c.test-1"]
    assert not silent.done()
    lookups.gate("silent.test").set()
    await silent


async def test_threads_are_bounded_and_the_rest_wait_their_turn() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=3)  # of which one caller may have two
    names = [f"{n}.test" for n in range(5)]
    waiting = [asyncio.create_task(resolver.addresses(name, "ann")) for name in names]
    await lookups.begun(2)
    assert lookups.asked == names[:2]
    for done, name in enumerate(names):
        lookups.gate(name).set()
        await waiting[done]
    assert lookups.asked == names


async def test_who_gives_up_leaves_the_others_waiting() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups)
    first = asyncio.create_task(resolver.addresses("a.test", "ann"))
    second = asyncio.create_task(resolver.addresses("a.test", "ann"))
    await lookups.begun(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    lookups.gate("a.test").set()
    assert await second == ("a.test-1", "a.test-2")


async def test_a_name_that_all_gave_up_on_is_not_looked_up() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    busy = asyncio.create_task(resolver.addresses("busy.test", "ann"))
    abandoned = asyncio.create_task(resolver.addresses("abandoned.test", "ann"))
    wanted = asyncio.create_task(resolver.addresses("wanted.test", "ann"))
    await lookups.begun(1)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    lookups.gate("wanted.test").set()
    lookups.gate("busy.test").set()
    await asyncio.gather(busy, wanted)
    assert lookups.asked == ["busy.test", "wanted.test"]
    lookups.gate("abandoned.test").set()
    assert await resolver.addresses("abandoned.test", "ann")


# --- Callers -----------------------------------------------------------------------------------


def ask(resolver: Resolver, caller_id: str, *names: str) -> list[asyncio.Task[tuple[str, ...]]]:
    """The caller asks for each of these names, in this order."""
    return [asyncio.create_task(resolver.addresses(f"{name}.test", caller_id)) for name in names]


async def asked() -> None:
    """Who was to ask has done so."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_silent_names_of_one_caller_leave_threads_for_another() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=8)
    silent = ask(resolver, "ann", *(f"silent{number}" for number in range(20)))
    await lookups.begun(6)  # three quarters
    assert len(lookups.asked) == 6
    for _ in range(3):  # one after the other, while ann's queue is long
        lookups.gate("bob.test").set()
        resolver._known.clear()
        async with asyncio.timeout(10):
            assert await resolver.addresses("bob.test", "bob")
    assert lookups.asked == [*(f"silent{number}.test" for number in range(6)), *["bob.test"] * 3]
    assert not any(each.done() for each in silent)
    lookups.let_all_go()
    await asyncio.gather(*silent)
    assert resolver._threads.used == 0
    assert not resolver._pending


async def test_a_silent_lookup_counts_for_its_caller_until_its_thread_ends() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=4)
    given_up = ask(resolver, "ann", "a", "b", "c", "d")
    await lookups.begun(3)
    for each in given_up:
        each.cancel()
    await asyncio.wait(given_up)
    (more,) = ask(resolver, "ann", "e")
    (other,) = ask(resolver, "bob", "f")
    await lookups.begun(4)
    assert lookups.asked[3:] == ["f.test"]
    lookups.let_all_go()
    await asyncio.gather(more, other)
    assert lookups.asked[4:] == ["e.test"]  # nobody waits for d.test


async def test_callers_who_wait_are_served_in_turn_and_each_in_order() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    waiting = ask(resolver, "ann", "a", "b", "c", "d")
    await lookups.begun(1)
    waiting += ask(resolver, "bob", "e", "f")
    await asked()
    lookups.let_all_go()
    await asyncio.gather(*waiting)
    assert [name[0] for name in lookups.asked] == ["a", "b", "e", "c", "f", "d"]


async def test_who_comes_back_to_wait_stands_behind_the_others() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    waiting = ask(resolver, "ann", "a")
    await lookups.begun(1)
    (hasty,) = ask(resolver, "bob", "b")
    waiting += ask(resolver, "carl", "c")
    await asked()
    hasty.cancel()
    await asyncio.wait({hasty})
    waiting += ask(resolver, "bob", "b")
    await asked()
    lookups.let_all_go()
    await asyncio.gather(*waiting)
    assert [name[0] for name in lookups.asked] == ["a", "c", "b"]


async def test_a_name_that_several_wait_for_is_looked_up_for_one_who_has_room() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=4)
    waiting = ask(resolver, "ann", "a", "b", "c", "d", "shared")
    await lookups.begun(3)
    waiting += ask(resolver, "bob", "shared")
    await lookups.begun(4)
    assert lookups.asked[3] == "shared.test"
    assert (resolver._threads.held("ann"), resolver._threads.held("bob")) == (3, 1)
    lookups.let_all_go()
    await asyncio.gather(*waiting)
    assert sorted(lookups.asked) == ["a.test", "b.test", "c.test", "d.test", "shared.test"]


async def test_one_who_gives_up_a_shared_name_leaves_it_queued_for_the_other() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    waiting = ask(resolver, "ann", "busy")
    await lookups.begun(1)
    (gone,) = ask(resolver, "ann", "shared")
    waiting += ask(resolver, "bob", "shared")
    await asked()
    gone.cancel()
    await asyncio.wait({gone})
    lookups.let_all_go()
    await asyncio.gather(*waiting)
    assert lookups.asked == ["busy.test", "shared.test"]


async def test_a_known_name_needs_no_thread() -> None:
    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1, monotonic=lambda: 0.0)
    lookups.gate("known.test").set()
    found = await resolver.addresses("known.test", "ann")
    (silent,) = ask(resolver, "ann", "silent")
    await lookups.begun(2)
    async with asyncio.timeout(10):
        assert await resolver.addresses("known.test", "ann") == found
        assert await resolver.addresses("known.test", "bob") == found
    lookups.let_all_go()
    await silent


async def test_callbacks_to_silent_names_leave_those_of_another_caller_alone(
    make_sender: MakeSender,
) -> None:
    """They failed for want of a thread, and it was their receiver that was left in peace."""
    go, all_wait = threading.Event(), asyncio.Event()
    asked: list[str] = []

    class Noticing(Resolver):
        async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
            asked.append(host)
            if len(asked) == len(silent):
                all_wait.set()
            return await super().addresses(host, caller_id)

    def lookup(host: str) -> tuple[str, ...]:
        if host.startswith("silent"):
            assert go.wait(20)
            raise OSError
        return ("127.0.0.1",)

    sender = make_sender(resolver=Noticing(lookup=lookup, most_threads=4))
    async with Receiver() as receiver:
        silent = [
            asyncio.create_task(
                sender.send(callout(f"http://silent{number}.test/hook", caller_id="ann"))
            )
            for number in range(8)
        ]
        await all_wait.wait()
        url = f"http://receiver.test:{receiver.port}/hook"
        result = await sender.send(callout(url, caller_id="bob"))
        assert isinstance(result, Answered), result
        assert not any(each.done() for each in silent)
        go.set()
        for failed in await asyncio.gather(*silent):
            assert isinstance(failed, NotSent)
            assert failed.code == "dns"


# --- A machine at its limit --------------------------------------------------------------------


async def test_if_no_thread_can_be_started_all_who_wait_hear_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many wait: once some two hundred of them were too many calls within each other."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups()
    resolver = Resolver(lookup=lookups, most_threads=1)
    (first,) = ask(resolver, "ann", "first")
    await lookups.begun(1)
    queued = ask(resolver, "ann", *(f"queued{number}" for number in range(1_500)))
    await asked()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        lookups.let_all_go()
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*queued, return_exceptions=True)
    assert {str(each) for each in outcomes} == {"this machine can start no more threads"}
    assert all(isinstance(each, LookupFailed) and each.ours for each in outcomes)
    assert await first
    assert resolver._threads.used == 0
    assert not resolver._pending
    assert await resolver.addresses("queued7.test", "ann")  # as soon as the machine can again


async def test_a_thread_that_cannot_be_made_counts_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(*_: object, **__: object) -> threading.Thread:
        raise MemoryError

    lookups = Lookups(blocking=False)
    resolver = Resolver(lookup=lookups, most_threads=1)
    with monkeypatch.context() as patch:
        patch.setattr("dispatcher.adapters.resolver.threading.Thread", no_memory)
        with pytest.raises(LookupFailed, match="no more threads"):
            await resolver.addresses("a.test", "ann")
    assert resolver._threads.used == 0
    assert await resolver.addresses("a.test", "ann")


async def test_what_is_remembered_is_bounded() -> None:
    lookups = Lookups(blocking=False)
    resolver = Resolver(lookup=lookups, most_names=3)
    for number in range(10):
        await resolver.addresses(f"{number}.test", "ann")
    assert sorted(resolver._known) == ["7.test", "8.test", "9.test"]
    assert not resolver._pending


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in await Resolver().addresses("127.0.0.1", "ann")
    assert system_addresses("127.0.0.1") == ("127.0.0.1",)
