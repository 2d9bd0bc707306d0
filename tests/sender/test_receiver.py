"""The receiver that tests use: awaited, never polled; its own faults are not swallowed."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.outcome import Answered
from dispatcher.testing.receiver import Arrival, Receiver, Reply, Wire
from tests.sender.conftest import AnySender, callout


@pytest.fixture
def sender_name() -> str:
    """What sends doesn't matter here."""
    return "narrow"


async def test_answers_are_used_in_turn_and_the_last_one_repeats(sender: AnySender) -> None:
    async with Receiver(Reply(500), Reply(503), Reply(200, b"ok")) as receiver:
        results = [await sender.send(callout(receiver.url)) for _ in range(4)]
        statuses = [result.status_code for result in results if isinstance(result, Answered)]
        assert statuses == [500, 503, 200, 200]
        receiver.answer_with(Reply(410))
        result = await sender.send(callout(receiver.url))
    assert isinstance(result, Answered)
    assert result.status_code == 410


async def test_an_answer_can_depend_on_what_came(sender: AnySender) -> None:
    def choose(arrival: Arrival) -> Reply:
        return Reply(200 if arrival.event["n"] == 2 else 500)

    async with Receiver(choose=choose) as receiver:
        results = [await sender.send(callout(receiver.url, b'{"n":%d}' % n)) for n in range(1, 4)]
        statuses = [result.status_code for result in results if isinstance(result, Answered)]
        arrivals = await receiver.received(3)
    assert statuses == [500, 200, 500]
    assert [arrival.number for arrival in arrivals] == [1, 2, 3]
    assert arrivals[0].header("Webhook-ID") == "evt_01890000000070008000000000000000"
    assert arrivals[0].header("nothing") is None


async def test_waiting_ends_as_soon_as_it_came(sender: AnySender) -> None:
    async with Receiver() as receiver:
        waiting = asyncio.create_task(receiver.received(2))
        await sender.send(callout(receiver.url))
        assert not waiting.done()
        await sender.send(callout(receiver.url))
        assert len(await waiting) == 2


async def test_what_does_not_come_is_told_with_what_came(sender: AnySender) -> None:
    async with Receiver() as receiver:
        await sender.send(callout(receiver.url))
        with pytest.raises(AssertionError, match="for 2 requests; it has seen 1 requests on 1"):
            await receiver.received(2, within_seconds=0.02)


async def test_a_fault_in_a_script_fails_the_test(sender: AnySender) -> None:
    async def faulty(wire: Wire, arrival: Arrival) -> None:
        raise LookupError("a fault of the script")

    with pytest.raises(LookupError, match="fault of the script"):
        async with Receiver(faulty) as receiver:
            await sender.send(callout(receiver.url))


async def test_it_can_listen_again_where_it_did(sender: AnySender) -> None:
    async with Receiver() as first:
        await sender.send(callout(first.url))
    async with Receiver(port=first.port) as again:
        assert again.url == first.url
        await asyncio.sleep(0)
        assert isinstance(await sender.send(callout(again.url)), Answered)
