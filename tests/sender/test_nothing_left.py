"""A machine that has no open file left: nothing is sent, and nothing is said of the receiver."""

from __future__ import annotations

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


async def test_only_what_is_ours_is_ours() -> None:
    resolver = Resolver(lookup=unknown)
    with pytest.raises(LookupFailed) as failed:
        await resolver.addresses("receiver.example", "clr_1")
    assert not failed.value.ours
