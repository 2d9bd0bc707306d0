"""Which address answers first: two sockets at most at the same time, and none left open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from dispatcher.adapters.sender import NarrowSender
from dispatcher.adapters.sender.dial import AddressInfo, AddressRefused, Dial
from dispatcher.adapters.sender.narrow import racing
from dispatcher.adapters.sender.narrow.racing import AT_ONCE, Race, in_turn
from dispatcher.core.addresses import Policy
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.receiver import Receiver
from tests.sender.conftest import DEV, PATIENT, QUICK, Names, callout


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """An address at which nobody answers: no further connection fits into its queue."""
    with ExitStack() as opened:
        listening = opened.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(0)
        for _ in range(4):
            filling = opened.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex((host, port))
        yield


class Counted:
    """The sockets that were opened, and how many at the same time at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sockets: list[socket.socket] = []
        self.dialled: list[str] = []
        self.most = 0
        open_socket = Dial.open_socket

        def count(dial: Dial, info: AddressInfo, policy: Policy) -> socket.socket:
            made = open_socket(dial, info, policy)
            self.sockets.append(made)
            self.dialled.append(info[4][0])
            self.most = max(self.most, len(self.open))
            return made

        monkeypatch.setattr(Dial, "open_socket", count)
        monkeypatch.setattr(racing, "NEXT_ADDRESS_SECONDS", 0.02)

    @property
    def open(self) -> list[socket.socket]:
        return [each for each in self.sockets if each.fileno() != -1]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


DEAF = tuple(f"127.0.0.{number}" for number in range(2, 9))


async def test_two_sockets_at_most_look_for_one_that_answers(counted: Counted) -> None:
    """Eight were open for each place of the pool, of a name that lists what swallows everything."""
    names = Names(receiver_test=[(*DEAF, "127.0.0.1")])
    sender = NarrowSender(DEV, PATIENT, ManualClock(), names)
    async with Receiver() as receiver:
        with ExitStack() as opened:
            for host in DEAF:
                opened.enter_context(deaf(host, receiver.port))
            result = await sender.send(callout(f"http://receiver.test:{receiver.port}/hook"))
        assert isinstance(result, Answered)
        assert counted.dialled == [*DEAF, "127.0.0.1"]
        assert counted.most == AT_ONCE
        assert len(counted.open) <= 1  # that of the connection, which is kept
        assert receiver.connection_count == 1
        await sender.close()


async def test_nothing_stays_open_when_the_time_is_up(counted: Counted) -> None:
    names = Names(receiver_test=[DEAF[:2]])
    sender = NarrowSender(DEV, QUICK, ManualClock(), names)
    async with Receiver() as receiver:
        with deaf(DEAF[0], receiver.port), deaf(DEAF[1], receiver.port):
            result = await sender.send(callout(f"http://receiver.test:{receiver.port}/hook"))
        assert isinstance(result, NotSent)
        assert (result.code, len(counted.sockets), counted.open) == ("connect", 2, [])
    await sender.close()


async def test_two_that_answer_at_once_leave_one_socket() -> None:
    """Both connect in the same turn of the loop: the loser is closed, whoever it is."""
    made: list[socket.socket] = []

    def open_socket(info: AddressInfo) -> socket.socket:
        made.append(socket.socket(info[0], info[1]))
        return made[-1]

    both = asyncio.Barrier(2)

    async def together(*_: object) -> None:
        await both.wait()

    loop = asyncio.get_running_loop()
    connecting = SimpleNamespace(create_task=loop.create_task, sock_connect=together)
    race = Race(open_socket, cast("asyncio.AbstractEventLoop", connecting))
    won = await race.first_of([_info("127.0.0.2"), _info("127.0.0.3")])
    assert won is made[0]
    assert [each.fileno() == -1 for each in made] == [False, True]
    won.close()


async def test_an_address_that_is_refused_ends_it() -> None:
    def open_socket(_: AddressInfo) -> socket.socket:
        raise AddressRefused("no")

    race = Race(open_socket, asyncio.get_running_loop())
    with pytest.raises(AddressRefused):
        await race.first_of([_info("127.0.0.2"), _info("127.0.0.3")])


def test_families_take_turns() -> None:
    four, six = ("127.0.0.1", "127.0.0.2", "127.0.0.3"), ("::1", "::2")
    found = in_turn([_info(each) for each in (*six, *four)])
    assert [each[4][0] for each in found] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3"]


def _info(host: str) -> AddressInfo:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 9)
