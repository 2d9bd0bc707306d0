"""What is sent, and what is told of a sound answer."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from dispatcher.adapters.sender import dial
from dispatcher.core.addresses import Policy
from dispatcher.core.outcome import Answered, Delivered, NotSent, classify
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.receiver import Arrival, Hang, Raw, Receiver, Reply, Wire
from tests.sender.conftest import HEADERS, QUICK, AnySender, MakeSender, Names, callout


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_posts_exactly_what_it_was_given(sender: AnySender) -> None:
    async with Receiver() as receiver:
        result = await sender.send(callout(receiver.url + "?a=1&b=%2f", b'{"a":1}'))
        (arrival,) = await receiver.received(1)
    assert result == Answered(status_code=200, duration_ms=0, body=b"")
    assert arrival.method == "POST"
    assert arrival.target == "/hook?a=1&b=%2f"
    assert arrival.body == b'{"a":1}'
    host = receiver.origin.removeprefix("http://")
    sent = {name.lower(): value for name, value in arrival.headers}
    assert sent == {"host": host, **dict(HEADERS), "content-length": "7"}
    assert len(arrival.headers) == len(sent)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "?x",
        "/a?",
        "/a??b",
        "/a/../b/./c//d",
        "//double",
        "/%7e/%zz/%2F",
        "/a;b=c:80@x",
        "/'\"<>{}|^`",
        "/a+b%20c?d+e",
    ],
)
async def test_the_request_line_has_the_path_as_it_was_written(
    sender: AnySender, path: str
) -> None:
    async with Receiver() as receiver:
        await sender.send(callout(receiver.origin + path))
        (arrival,) = await receiver.received(1)
    assert arrival.target == (path if path.startswith("/") else "/" + path)


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 299, 400, 404, 410, 429, 500, 503, 599, 999]
)
async def test_any_status_is_an_answer(sender: AnySender, status: int) -> None:
    async with Receiver(Reply(status)) as receiver:
        result = await sender.send(callout(receiver.url))
    assert isinstance(result, Answered)
    assert result.status_code == status
    assert isinstance(classify(result, 0), Delivered) == (200 <= status < 300)


async def test_an_empty_body_has_a_length(sender: AnySender) -> None:
    async with Receiver() as receiver:
        await sender.send(callout(receiver.url, b""))
        (arrival,) = await receiver.received(1)
    assert arrival.header("content-length") == "0"


async def test_a_body_of_megabytes_is_sent_whole(sender: AnySender) -> None:
    body = bytes(range(256)) * 4 * 3_000
    async with Receiver() as receiver:
        await sender.send(callout(receiver.url, body))
        (arrival,) = await receiver.received(1)
    assert arrival.body == body


async def test_retry_after_is_passed_on_as_it_came(sender: AnySender) -> None:
    headers = (("Retry-After", " 120 "), ("retry-after", "5"))
    async with Receiver(Reply(503, headers=headers), Reply(503)) as receiver:
        first = await sender.send(callout(receiver.url))
        second = await sender.send(callout(receiver.url))
    assert isinstance(first, Answered)
    assert first.retry_after == "120"
    assert isinstance(second, Answered)
    assert second.retry_after is None


async def test_an_interim_answer_says_nothing_of_when_to_try_again(sender: AnySender) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nretry-after: 9\r\n\r\n"
    async with Receiver(Raw(interim + b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n")) as receiver:
        result = await sender.send(callout(receiver.url))
    assert result == Answered(status_code=503, duration_ms=0, retry_after=None, body=b"")


async def test_the_start_of_the_answer_is_kept(sender: AnySender) -> None:
    body = b"no such tenant " * 1_000
    async with Receiver(Reply(404, body)) as receiver:
        result = await sender.send(callout(receiver.url))
    assert isinstance(result, Answered)
    assert result.body == body[:4_096]


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "origin"])
async def test_nothing_is_kept_from_where_only_the_operator_may_look(
    make_sender: MakeSender, entry: str
) -> None:
    async with Receiver(Reply(500, b"internal")) as receiver:
        policy = Policy.parse([receiver.origin if entry == "origin" else entry])
        sender = make_sender(policy)
        results = [await sender.send(callout(receiver.url)) for _ in range(2)]
    assert results == [Answered(status_code=500, duration_ms=0, body=None)] * 2
    assert receiver.connection_count == 1


async def test_a_name_is_looked_up_and_told_to_the_receiver(make_sender: MakeSender) -> None:
    names = Names(receiver_test=[("127.0.0.1",)])
    async with Receiver() as receiver:
        url = f"http://Receiver.test:{receiver.port}/hook"
        result = await make_sender(resolver=names).send(callout(url))
        (arrival,) = await receiver.received(1)
    assert isinstance(result, Answered)
    assert names.asked == ["receiver.test"]
    assert arrival.header("host") == f"receiver.test:{receiver.port}"


async def test_the_next_address_is_tried_when_one_is_dead(make_sender: MakeSender) -> None:
    names = Names(receiver_test=[("127.0.0.2", "127.0.0.1")])
    async with Receiver() as receiver:
        sender = make_sender(resolver=names)
        result = await sender.send(callout(f"http://receiver.test:{receiver.port}/hook"))
    assert isinstance(result, Answered)


async def test_no_address_is_knocked_at_twice(
    make_sender: MakeSender, sender_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may list addresses of others: eight dead ones were dialled 36 times an attempt."""
    if sender_name == "aiohttp":
        pytest.skip("aiohttp tries again with one address less, as long as there are any")
    dialled: list[str] = []
    open_socket = dial.Dial.open_socket

    def notice(self: dial.Dial, info: dial.AddressInfo, policy: Policy) -> socket.socket:
        dialled.append(info[4][0])
        return open_socket(self, info, policy)

    monkeypatch.setattr(dial.Dial, "open_socket", notice)
    addresses = tuple(f"127.0.0.{number}" for number in range(2, 9))
    names = Names(dead_test=[addresses], deaf_test=[(*addresses, "127.0.0.1")])
    async with Receiver(greet=_hangs_up) as receiver:
        sender = make_sender(resolver=names)
        dead = await sender.send(callout(f"http://dead.test:{receiver.port}/hook"))
        assert isinstance(dead, NotSent)
        assert dead.code == "connect"
        assert dialled == list(addresses)
        dialled.clear()
        deaf = await sender.send(callout(f"https://deaf.test:{receiver.port}/hook"))
        assert isinstance(deaf, NotSent)
        assert "TLS" in deaf.detail
        assert dialled == [*addresses, "127.0.0.1"]


async def _hangs_up(wire: Wire) -> None:
    """Answers a handshake with what is no TLS."""
    await wire.send(b"220 mail.example ESMTP ready\r\n")
    await wire.gone()


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_can_be_dialled(sender: AnySender) -> None:
    async with Receiver(host="::1") as receiver:
        result = await sender.send(callout(receiver.url))
        (arrival,) = await receiver.received(1)
    assert isinstance(result, Answered)
    assert arrival.header("host") == f"[::1]:{receiver.port}"


async def test_cookies_are_neither_kept_nor_sent(sender: AnySender) -> None:
    async with Receiver(Reply(headers=(("set-cookie", "id=1; Path=/"),)), Reply()) as receiver:
        await sender.send(callout(receiver.url))
        await sender.send(callout(receiver.url))
        _, second = await receiver.received(2)
    assert second.header("cookie") is None


async def test_proxies_of_the_environment_are_not_used(
    sender: AnySender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver, Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        result = await sender.send(callout(receiver.url))
    assert isinstance(result, Answered)
    assert proxy.connection_count == 0


async def test_the_duration_is_measured_by_the_clock(make_sender: MakeSender) -> None:
    clock = ManualClock()
    sender = make_sender(clock=clock)

    async def slowly(wire: Wire, _: Arrival) -> None:
        clock.advance(1.25)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with Receiver(slowly) as receiver:
        result = await sender.send(callout(receiver.url))
    assert result == Answered(status_code=200, duration_ms=1_250, body=b"")


async def test_a_body_without_a_length_ends_with_the_connection(sender: AnySender) -> None:
    async with Receiver(Raw(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as receiver:
        result = await sender.send(callout(receiver.url))
    assert result == Answered(status_code=200, duration_ms=0, body=b"all of it")


async def test_a_chunked_body_is_joined(sender: AnySender) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"3\r\nall\r\n4\r\n of \r\n2\r\nit\r\n0\r\n\r\n"
    async with Receiver(Raw(head + body)) as receiver:
        result = await sender.send(callout(receiver.url))
    assert result == Answered(status_code=200, duration_ms=0, body=b"all of it")


async def test_headers_that_can_not_be_sent_are_no_crash(sender: AnySender) -> None:
    async with Receiver() as receiver:
        smuggling = callout(receiver.url)
        smuggling = msgspec.structs.replace(smuggling, headers=(("x", "a\r\nb: c"),))
        result = await sender.send(smuggling)
        assert isinstance(result, NotSent)
        assert "log" in result.detail
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        (arrival,) = await receiver.received(1)
    assert arrival.header("x") is None


async def test_closing_ends_what_is_under_way(make_sender: MakeSender) -> None:
    sender = make_sender()
    async with Receiver(Hang()) as receiver:
        sending = asyncio.create_task(sender.send(callout(receiver.url)))
        await receiver.received(1)
        await sender.close()
        result = await sending
        await receiver.left(1)
    assert isinstance(result, NotSent)
    assert result.code == "closed"
    assert "shut down" in result.detail
    assert isinstance(await sender.send(callout("http://127.0.0.1:9999/")), NotSent)


async def test_cancelling_a_send_closes_its_connection(sender: AnySender) -> None:
    async with Receiver(Hang()) as receiver:
        sending = asyncio.create_task(sender.send(callout(receiver.url)))
        await receiver.received(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await receiver.left(1)


async def test_the_deadline_holds_for_all_of_it(make_sender: MakeSender) -> None:
    async with Receiver(Hang()) as receiver:
        result = await make_sender(terms=QUICK).send(callout(receiver.url))
        await receiver.left(1)
    assert result == NotSent(
        code="timeout", detail="no complete answer within 0.2 s", duration_ms=0
    )
