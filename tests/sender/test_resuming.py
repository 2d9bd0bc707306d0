"""TLS connections made again: names told to the receiver, sessions taken up, and never too long."""

from __future__ import annotations

import ssl
from typing import cast

import pytest

from dispatcher.adapters.sender.narrow.resuming import Sessions
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.receiver import Arrival, Receiver, Reply, Wire
from tests.sender.conftest import Authority, MakeSender, Names, callout

LAST = Reply(200, b"ok", close=True)


def told_names(server: ssl.SSLContext) -> list[str | None]:
    """The names that clients say they want, one for each handshake."""
    told: list[str | None] = []
    server.sni_callback = lambda _connection, name, _context: told.append(name)
    return told


async def test_a_receiver_is_told_the_name_but_no_address(
    make_sender: MakeSender, authority: Authority
) -> None:
    """RFC 6066, 3: literal addresses are not permitted; certificates have no final dot."""
    server = authority.server("receiver.test")
    told = told_names(server)
    names = Names(receiver_test=[("127.0.0.1",)])
    names._answers["receiver.test."] = [("127.0.0.1",)]
    sender = make_sender(resolver=names, tls=authority.trusted())
    async with Receiver(tls=server) as receiver:
        for host in ("Receiver.test", "receiver.test."):
            result = await sender.send(callout(f"https://{host}:{receiver.port}/"))
            assert isinstance(result, Answered)
    assert told == ["receiver.test", "receiver.test"]
    server = authority.server("127.0.0.1")
    told = told_names(server)
    async with Receiver(tls=server) as receiver:
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
    assert told == [None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_taken_up_by_the_next_connection(
    make_sender: MakeSender, sender_name: str, authority: Authority, version: ssl.TLSVersion
) -> None:
    resumed: list[bool] = []

    async def answer(wire: Wire, _: Arrival) -> None:
        resumed.append(wire.writer.get_extra_info("ssl_object").session_reused)
        await wire.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    server = authority.server("127.0.0.1")
    server.maximum_version = version
    sender = make_sender(tls=authority.trusted())
    async with Receiver(answer, tls=server) as receiver:
        for _ in range(3):
            assert isinstance(await sender.send(callout(receiver.url)), Answered)
        assert receiver.connection_count == 3
    assert resumed == [False, *[sender_name == "narrow"] * 2]


async def test_a_session_proves_nothing_to_another_receiver(
    make_sender: MakeSender, authority: Authority
) -> None:
    """Whoever takes over the address can't take up the session, so its certificate is judged."""
    sender = make_sender(tls=authority.trusted())
    async with Receiver(LAST, tls=authority.server("127.0.0.1")) as receiver:
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
    for bad in (
        authority.server("other.test"),
        authority.server("127.0.0.1", expired=True),
        authority.server("127.0.0.1", selfsigned=True),
    ):
        async with Receiver(tls=bad, port=receiver.port) as other:
            result = await sender.send(callout(receiver.url))
            assert isinstance(result, NotSent)
            assert result.code == "tls"
            assert not other.arrivals
    async with Receiver(LAST, tls=authority.server("127.0.0.1"), port=receiver.port):
        assert isinstance(await sender.send(callout(receiver.url)), Answered)


class Played:
    """What `Sessions` asks of an `ssl.SSLObject` and its session."""

    def __init__(
        self, *, reused: bool = False, ticket: bool = True, hint: int = 7_200, ends: str = ""
    ) -> None:
        self.session = self
        self.session_reused = reused
        self.has_ticket = ticket
        self.ticket_lifetime_hint = hint
        self.timeout = 7_200
        self._ends = ends or "Jan  1 00:00:00 2099 GMT"

    def getpeercert(self) -> dict[str, str]:
        return {"notAfter": self._ends}

    def as_tls(self) -> ssl.SSLObject:
        return cast("ssl.SSLObject", self)


def test_a_session_is_kept_for_minutes_and_for_its_origin() -> None:
    sessions = Sessions()
    sessions.keep("https://a.test", Played().as_tls(), now=1_000)
    assert sessions.find("https://b.test", 1_000) is None
    assert sessions.find("https://a.test", 1_299) is not None
    assert sessions.find("https://a.test", 1_300) is None
    assert sessions.find("https://a.test", 1_000) is None, "it is gone"


def test_what_is_resumed_makes_it_last_no_longer() -> None:
    sessions = Sessions()
    sessions.keep("https://a.test", Played().as_tls(), now=1_000)
    sessions.keep("https://a.test", Played(reused=True).as_tls(), now=1_250)
    assert sessions.find("https://a.test", 1_299) is not None
    assert sessions.find("https://a.test", 1_300) is None
    sessions.keep("https://a.test", Played(reused=True).as_tls(), now=1_301)
    assert sessions.find("https://a.test", 1_301) is None


@pytest.mark.parametrize(
    "tls",
    [Played(ends="Jan  1 00:00:00 2020 GMT"), Played(ticket=False)],
    ids=["its certificate is over", "it has no ticket"],
)
def test_a_session_that_is_not_kept(tls: Played) -> None:
    sessions = Sessions()
    sessions.keep("https://a.test", tls.as_tls(), now=1_000)
    assert sessions.find("https://a.test", 1_000) is None


def test_a_ticket_is_not_kept_past_its_own_life() -> None:
    sessions = Sessions()
    sessions.keep("https://a.test", Played(hint=60).as_tls(), now=1_000)
    assert sessions.find("https://a.test", 1_059) is not None
    assert sessions.find("https://a.test", 1_060) is None


def test_the_sessions_that_are_kept_are_bounded() -> None:
    sessions = Sessions()
    for number in range(1_100):
        sessions.keep(f"https://{number}.test", Played().as_tls(), now=1_000)
    assert len(sessions._kept) == 1_024
    assert sessions.find("https://1099.test", 1_000) is not None
    assert sessions.find("https://0.test", 1_000) is None
