"""Connections: used again when that is safe, closed when it is not, never more than allowed."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.adapters.sender import NarrowSender, SenderTerms
from dispatcher.adapters.sender.over_aiohttp.connecting import Connector
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.receiver import Answer, Arrival, Hang, Raw, Receiver, Reply, Wire
from tests.sender.conftest import AnySender, MakeSender, callout

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def heard_of_it() -> None:
    """Let the loop come round: what a receiver did reaches the sender's end with the next poll."""
    for _ in range(4):
        await asyncio.sleep(0)


def pool_of(sender: AnySender) -> int:
    """How much the pool remembers of connections."""
    if isinstance(sender, NarrowSender):
        assert sender._parts is not None
        lines = sender._parts.pool
        return len(lines._idle) + len(lines._by_origin) + len(lines._open)
    assert sender._session is not None
    pool = sender._session.connector
    assert isinstance(pool, Connector)
    return len(pool._idle) + len(pool._conns)


class AnyName:
    """Every name leads to this machine."""

    async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
        return ("127.0.0.1",)


async def test_a_connection_serves_one_callback_after_the_other(sender: AnySender) -> None:
    async with Receiver(Reply(200, b"a"), Reply(500, b"b"), Reply(204)) as receiver:
        for _ in range(10):
            assert isinstance(await sender.send(callout(receiver.url)), Answered)
        arrivals = await receiver.received(10)
    assert {arrival.connection for arrival in arrivals} == {1}


async def test_a_busy_receiver_is_served_by_many_at_once(sender: AnySender) -> None:
    together = asyncio.Barrier(32)

    async def answer_all_together(wire: Wire, _: Arrival) -> None:
        await together.wait()
        await wire.send(ANSWER)

    async with Receiver(answer_all_together) as receiver:
        results = await asyncio.gather(*[sender.send(callout(receiver.url)) for _ in range(32)])
    assert all(isinstance(result, Answered) for result in results)
    assert receiver.connection_count == 32


async def test_what_was_opened_for_a_burst_is_used_again(sender: AnySender) -> None:
    async with Receiver() as receiver:
        for _ in range(5):
            await asyncio.gather(*[sender.send(callout(receiver.url)) for _ in range(16)])
        assert receiver.connection_count <= 16


NOT_AGAIN: dict[str, Answer] = {
    "connection: close": Raw(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", close=False
    ),
    "HTTP/1.0": Raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", close=False),
    "an answer too many": Raw(ANSWER + ANSWER, close=False),
    "garbage behind it": Raw(ANSWER + b"\0\1\2", close=False),
    "an interim answer behind it": Raw(ANSWER + b"HTTP/1.1 100 Continue\r\n\r\n", close=False),
}


@pytest.mark.parametrize("name", NOT_AGAIN)
async def test_a_connection_in_doubt_is_not_used_again(sender: AnySender, name: str) -> None:
    async with Receiver(NOT_AGAIN[name], Reply(500)) as receiver:
        first = await sender.send(callout(receiver.url))
        assert isinstance(first, Answered | NotSent)
        await receiver.left(1)
        second = await sender.send(callout(receiver.url))
        assert second == Answered(status_code=500, duration_ms=0, body=b"")
        _, arrival = await receiver.received(2)
    assert arrival.connection == 2


async def test_an_answer_sent_in_advance_answers_nothing(sender: AnySender) -> None:
    """Response queue poisoning: it would count as the answer to a callback not yet sent."""
    more = asyncio.Event()

    async def advance(wire: Wire, _: Arrival) -> None:
        await wire.send(ANSWER)
        await more.wait()
        await wire.send(ANSWER)
        await wire.gone()

    async with Receiver(advance, Reply(500)) as receiver:
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        more.set()
        await receiver.left(1)  # it is closed as soon as it speaks unasked
        result = await sender.send(callout(receiver.url))
    assert result == Answered(status_code=500, duration_ms=0, body=b"")


async def test_a_receiver_that_speaks_first_is_not_believed(sender: AnySender) -> None:
    async def greet(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await wire.gone()

    async with Receiver(greet=greet) as receiver:
        results = [await sender.send(callout(receiver.url)) for _ in range(20)]
        await receiver.left(20)
    # Where its greeting comes after the request, it can't be told from an answer.
    for result in results:
        assert isinstance(result, Answered) or (
            isinstance(result, NotSent) and result.code == "bad-answer"
        )


async def test_a_receiver_that_closes_idle_connections_loses_nothing(
    sender: AnySender,
) -> None:
    async with Receiver(Raw(ANSWER), Raw(ANSWER), Raw(ANSWER)) as receiver:
        for count in range(1, 4):
            assert isinstance(await sender.send(callout(receiver.url)), Answered)
            await receiver.left(count)
            await heard_of_it()
    assert receiver.connection_count == 3


async def test_what_is_lost_with_a_kept_connection_is_not_sent_twice(sender: AnySender) -> None:
    """Nobody knows whether it was read: the schedule sends it again, with its attempt counted."""
    async with Receiver(Reply(), Raw(b""), Reply()) as receiver:
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        lost = await sender.send(callout(receiver.url))
        assert lost == NotSent(
            code="closed",
            detail="the receiver closed the connection without an answer",
            duration_ms=0,
        )
        assert len(receiver.arrivals) == 2
        assert [each.connection for each in receiver.arrivals] == [1, 1]


async def test_an_idle_connection_is_closed_in_the_end(make_sender: MakeSender) -> None:
    sender = make_sender(terms=SenderTerms(idle_seconds=0.05))
    async with Receiver() as receiver:
        await sender.send(callout(receiver.url))
        await receiver.left(1)


async def test_a_thousand_quiet_receivers_hold_a_bounded_number_of_connections(
    make_sender: MakeSender,
) -> None:
    sender = make_sender(terms=SenderTerms(connections=20), resolver=AnyName())
    async with Receiver() as receiver:
        busy = callout(f"http://busy.test:{receiver.port}/")
        most = 0
        for group in range(50):
            await asyncio.gather(
                sender.send(busy),
                *[
                    sender.send(callout(f"http://quiet-{group}-{n}.test:{receiver.port}/"))
                    for n in range(19)
                ],
            )
            most = max(most, receiver.open_count)
        arrivals = await receiver.received(1_000)
        of_busy = {
            arrival.connection
            for arrival in arrivals
            if (arrival.header("host") or "").startswith("busy")
        }
    assert most <= 20 + 20  # those just closed by the sender, of which the receiver has not heard
    assert len(of_busy) == 1  # the one that was idle longest makes place, not the busy one


async def test_nothing_is_remembered_of_connections_that_were_closed(
    make_sender: MakeSender,
) -> None:
    sender = make_sender(terms=SenderTerms(connections=5, idle_seconds=1_000), resolver=AnyName())
    async with Receiver() as receiver:
        for number in range(20):
            await sender.send(callout(f"http://quiet-{number}.test:{receiver.port}/"))
        await receiver.left(15)
    await heard_of_it()
    assert pool_of(sender) == 0, "the receiver closed what was left"


async def test_the_number_in_use_is_bounded_too(make_sender: MakeSender) -> None:
    terms = SenderTerms(connections=2, total_seconds=5, connect_seconds=0.1)
    sender = make_sender(terms=terms)
    async with Receiver(Hang()) as receiver:
        held = [asyncio.create_task(sender.send(callout(receiver.url))) for _ in range(2)]
        await receiver.received(2)
        result = await sender.send(callout(receiver.url))
        assert receiver.connection_count == 2
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        receiver.answer_with(Reply())
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
    assert result == NotSent(
        code="timeout", detail="all 2 connections were in use for 0.1 s", duration_ms=0
    )


async def test_closing_closes_what_is_idle(make_sender: MakeSender) -> None:
    sender = make_sender()
    async with Receiver() as receiver:
        await asyncio.gather(*[sender.send(callout(receiver.url)) for _ in range(4)])
        await sender.close()
        await receiver.left(receiver.connection_count)
