"""TLS: certificates are verified, failures are told, and no goodbye is waited for."""

from __future__ import annotations

import ssl
import threading

import pytest

from dispatcher.adapters.observers import Fanout
from dispatcher.adapters.sender import SenderTerms
from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.adapters.timers import LoopTimers
from dispatcher.compose.parts import sender_of
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.engine.terms import System
from dispatcher.settings import Settings
from dispatcher.testing.receiver import Raw, Receiver, Wire
from tests.sender.conftest import QUICK, Authority, MakeSender, Names, callout
from tests.sender.test_hostile import assert_plain


async def test_a_certificate_of_a_trusted_authority_is_good(
    make_sender: MakeSender, authority: Authority
) -> None:
    names = Names(receiver_test=[("127.0.0.1",)])
    sender = make_sender(resolver=names, tls=authority.trusted())
    async with Receiver(tls=authority.server("receiver.test")) as receiver:
        for _ in range(3):
            result = await sender.send(callout(f"https://receiver.test:{receiver.port}/hook"))
            assert result == Answered(status_code=200, duration_ms=0, body=b"")
        assert receiver.connection_count == 1


async def test_an_address_can_have_a_certificate(
    make_sender: MakeSender, authority: Authority
) -> None:
    sender = make_sender(tls=authority.trusted())
    async with Receiver(tls=authority.server("127.0.0.1")) as receiver:
        assert isinstance(await sender.send(callout(receiver.url)), Answered)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("self-signed", "self-signed certificate"),
        ("unknown authority", "unable to get local issuer certificate"),
        ("another name", "certificate is not valid for 'receiver.test'"),
        ("expired", "certificate has expired"),
    ],
)
async def test_any_other_certificate_is_refused(
    make_sender: MakeSender, authority: Authority, case: str, said: str
) -> None:
    name = "other.test" if case == "another name" else "receiver.test"
    server = authority.server(name, expired=case == "expired", selfsigned=case == "self-signed")
    trust = None if case == "unknown authority" else authority.trusted()
    sender = make_sender(resolver=Names(receiver_test=[("127.0.0.1",)]), tls=trust)
    async with Receiver(tls=server) as receiver:
        result = await sender.send(callout(f"https://receiver.test:{receiver.port}/hook"))
    assert isinstance(result, NotSent)
    assert result.code == "tls"
    assert said in result.detail
    assert_plain(result.detail)
    assert not receiver.arrivals


async def test_tls_to_a_plain_port(make_sender: MakeSender) -> None:
    async with Receiver(Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as receiver:
        url = receiver.url.replace("http://", "https://")
        result = await make_sender(terms=QUICK).send(callout(url))
    assert isinstance(result, NotSent)
    assert result.code in {"tls", "connect"}  # it may answer nonsense, or wait for a request line
    assert_plain(result.detail)


async def test_a_receiver_that_answers_the_handshake_with_nonsense(
    make_sender: MakeSender,
) -> None:
    async def mail(wire: Wire) -> None:
        await wire.send(b"220 mail.example ESMTP ready\r\n")
        await wire.gone()

    async with Receiver(greet=mail) as receiver:
        result = await make_sender().send(callout(receiver.url.replace("http://", "https://")))
        await receiver.left(1)
    assert isinstance(result, NotSent)
    assert result.code == "tls"
    assert_plain(result.detail)


async def test_a_handshake_that_never_ends(make_sender: MakeSender) -> None:
    async def silent(wire: Wire) -> None:
        await wire.gone()

    terms = SenderTerms(total_seconds=60, connect_seconds=0.15)
    async with Receiver(greet=silent) as receiver:
        url = receiver.url.replace("http://", "https://")
        result = await make_sender(terms=terms).send(callout(url))
        await receiver.left(1)
    assert isinstance(result, NotSent)
    assert result.code == "connect"
    assert result.detail.endswith("within 0.15 s")
    assert "TLS" in result.detail


async def test_plain_http_to_a_tls_port(make_sender: MakeSender, authority: Authority) -> None:
    async with Receiver(tls=authority.server("127.0.0.1")) as receiver:
        url = receiver.url.replace("https://", "http://")
        result = await make_sender(terms=QUICK).send(callout(url))
    assert isinstance(result, NotSent)
    assert result.code in {"bad-answer", "closed"}
    assert_plain(result.detail)


async def test_no_goodbye_is_waited_for(make_sender: MakeSender, authority: Authority) -> None:
    """A TLS close waits 30 s for the peer's: that would hold a socket a callback."""

    async def rude(wire: Wire) -> None:
        reader, writer = wire.reader, wire.writer
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        assert await reader.read() == b""

    sender = make_sender(terms=SenderTerms(), tls=authority.trusted())
    async with Receiver(greet=rude, tls=authority.server("127.0.0.1")) as receiver:
        assert isinstance(await sender.send(callout(receiver.url, b"{}")), Answered)
        await receiver.left(1, within_seconds=2)


async def test_what_is_trusted_is_read_off_the_event_loop_before_any_callback(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """It took 44 ms of the loop's time at the first callback by TLS."""
    read = ssl.create_default_context
    threads: list[threading.Thread] = []

    def noted() -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return read()

    monkeypatch.setattr(ssl, "create_default_context", noted)
    system = System(SystemClock(), LoopTimers(), SystemRandom(), Uuid7Ids(), Fanout())
    settings = Settings(dev=True)
    sender = await sender_of(settings, system)
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    async with Receiver(tls=authority.server("127.0.0.1")) as receiver:
        result = await sender.send(callout(receiver.url))
    assert isinstance(result, NotSent)
    assert result.code == "tls"
    assert len(threads) == 1
    await sender.close()
