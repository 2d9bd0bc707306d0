"""A machine that has no open file left: nothing is sent, and nothing is said of the receiver."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dispatcher.adapters.resolver import LookupFailed, Resolver
from dispatcher.core.outcome import Answered, NotSent, NotTried
from dispatcher.testing.receiver import Receiver
from tests.sender.conftest import MakeSender, Names, callout


@contextmanager
def no_open_file_left() -> Iterator[None]:
    """This process can open none: its limit is the first number that is free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_nothing_was_sent_and_the_person_is_told_what_to_do(
    make_sender: MakeSender,
) -> None:
    async with Receiver() as receiver:
        sender = make_sender()
        with no_open_file_left():
            result = await sender.send(callout(receiver.url))
        assert isinstance(result, NotTried)
        assert result.detail.startswith("Too many open files: raise the limit")
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        assert receiver.connection_count == 1


async def test_of_several_addresses_too(make_sender: MakeSender) -> None:
    async with Receiver() as receiver:
        names = Names(receiver_example=[("127.0.0.1", "127.0.0.2")])
        url = receiver.url.replace("127.0.0.1", "receiver.example")
        sender = make_sender(resolver=names)
        with no_open_file_left():
            assert isinstance(await sender.send(callout(url)), NotTried)
        assert isinstance(await sender.send(callout(url)), Answered)


async def test_a_connection_that_is_kept_serves(make_sender: MakeSender) -> None:
    async with Receiver() as receiver:
        sender = make_sender()
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        with no_open_file_left():
            assert isinstance(await sender.send(callout(receiver.url)), Answered)


def unknown(_: str) -> tuple[str, ...]:
    """What `getaddrinfo` says when the name server can't be asked, for whatever reason."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_a_name_that_could_not_be_asked_for_tells_nothing_of_it(
    make_sender: MakeSender,
) -> None:
    resolver = Resolver(lookup=unknown)
    url = "http://receiver.example:8080/"
    sender = make_sender(resolver=resolver)
    with no_open_file_left():
        result = await sender.send(callout(url))
    assert result == NotTried("Temporary failure in name resolution")
    result = await sender.send(callout(url))
    assert isinstance(result, NotSent)
    assert result.code == "dns"


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),  # what getaddrinfo may say itself
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
    ],
)
async def test_only_what_is_ours_is_ours(error: OSError, *, ours: bool) -> None:
    def fails(_: str) -> tuple[str, ...]:
        raise error

    with pytest.raises(LookupFailed) as failed:
        await Resolver(lookup=fails).addresses("receiver.example", "clr_1")
    assert failed.value.ours is ours


async def test_a_machine_without_such_sockets_is_not_short_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sandbox that allows only IPv6: else no name would ever be found missing."""
    resolver = Resolver(lookup=unknown)

    def refused(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    with monkeypatch.context() as patched:
        patched.setattr("dispatcher.adapters.resolver.socket.socket", refused)
        with pytest.raises(LookupFailed) as failed:
            await resolver.addresses("receiver.example", "clr_1")
    assert not failed.value.ours


@pytest.mark.parametrize(("number", "ours"), [(errno.ENOBUFS, True), (errno.EHOSTUNREACH, False)])
async def test_what_connecting_has_no_memory_for_is_not_tried(
    number: int, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    async def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("uvloop's can't be replaced")
    sender = make_sender()
    with monkeypatch.context() as patched:
        patched.setattr(loop, "sock_connect", fails)
        result = await sender.send(callout("http://127.0.0.1:9/"))
    assert isinstance(result, NotTried if ours else NotSent)
