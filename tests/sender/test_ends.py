"""How exchanges end early: at the deadline, by closing, by cancelling; and what is left behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from dispatcher.adapters.sender import NarrowSender, SenderTerms
from dispatcher.adapters.sender.narrow.answer import Answer
from dispatcher.adapters.sender.narrow.deadlines import Deadlines
from dispatcher.core.outcome import Answered, NotSent
from dispatcher.ports.sender import Callout
from dispatcher.testing.clock import ManualClock
from dispatcher.testing.receiver import Arrival, Hang, Receiver, Reply, Wire
from tests.sender.conftest import DEV, PATIENT, AnySender, Authority, MakeSender, Names, callout
from tests.sender.test_pool import heard_of_it, pool_of

SHUT_DOWN = "the service was shut down while the callback was being sent"


async def test_closing_tells_whoever_still_sends(make_sender: MakeSender) -> None:
    sender = make_sender()
    async with Receiver(Hang()) as receiver:
        sending = [asyncio.create_task(sender.send(callout(receiver.url))) for _ in range(3)]
        await receiver.received(3)
        await sender.close()
        results = await asyncio.gather(*sending)
        await receiver.left(3)
        late = await sender.send(callout(receiver.url))
        assert receiver.connection_count == 3
    for result in (*results, late):
        assert isinstance(result, NotSent)
        assert (result.code, result.detail) == ("closed", SHUT_DOWN)
    await sender.close()  # a second time


async def test_closing_tells_whoever_waits_for_a_place(
    make_sender: MakeSender, sender_name: str
) -> None:
    if sender_name == "aiohttp":
        pytest.skip("its pool cancels the task that waits, which the port does not foresee")
    sender = make_sender(terms=SenderTerms(connections=1, total_seconds=30, connect_seconds=20))
    async with Receiver(Hang()) as receiver:
        first = asyncio.create_task(sender.send(callout(receiver.url)))
        await receiver.received(1)
        waiting = asyncio.create_task(sender.send(callout(receiver.url)))
        await heard_of_it()
        await sender.close()
        for result in await asyncio.gather(first, waiting):
            assert isinstance(result, NotSent)
            assert (result.code, result.detail) == ("closed", SHUT_DOWN)


async def test_one_that_was_closed_before_it_sent_anything_sends_nothing() -> None:
    sender = NarrowSender(DEV, PATIENT, ManualClock())
    await sender.close()
    async with Receiver() as receiver:
        result = await sender.send(callout(receiver.url))
        assert isinstance(result, NotSent)
        assert (result.code, result.detail) == ("closed", SHUT_DOWN)
        assert receiver.connection_count == 0


async def test_one_who_connects_while_it_is_closed_hears_of_it_afterwards() -> None:
    """And its connection is closed."""

    class Slow(Names):
        async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
            asked.set()
            await go.wait()
            return await super().addresses(host, caller_id)

    asked, go = asyncio.Event(), asyncio.Event()
    sender = NarrowSender(DEV, PATIENT, ManualClock(), Slow(receiver_test=[("127.0.0.1",)]))
    async with Receiver() as receiver:
        url = f"http://receiver.test:{receiver.port}/hook"
        task = asyncio.create_task(sender.send(callout(url)))
        await asked.wait()
        await sender.close()
        go.set()
        result = await task
        assert isinstance(result, NotSent)
        assert (result.code, result.detail) == ("closed", SHUT_DOWN)
        assert not receiver.arrivals


async def test_places_come_back_however_an_attempt_ends(make_sender: MakeSender) -> None:
    """With a single place: each of these would take it for good."""
    terms = SenderTerms(connections=1, total_seconds=0.3, connect_seconds=0.2)
    names = Names(silent_test=[("127.0.0.1",)])
    sender = make_sender(terms=terms, resolver=names)

    async def mute(wire: Wire) -> None:
        await wire.gone()

    async with Receiver() as gone:
        closed_url = gone.url
    async with Receiver(Hang(), Hang(), Reply()) as receiver, Receiver(greet=mute) as silent:
        cancelled = asyncio.create_task(sender.send(callout(receiver.url)))
        await receiver.received(1)
        waiting = asyncio.create_task(sender.send(callout(receiver.url)))
        await heard_of_it()
        waiting.cancel()
        cancelled.cancel()
        await asyncio.gather(waiting, cancelled, return_exceptions=True)
        codes = []
        for url in (
            receiver.url,
            closed_url,
            "http://nowhere.test/",
            f"https://silent.test:{silent.port}/",
        ):
            result = await sender.send(callout(url))
            assert isinstance(result, NotSent)
            codes.append(result.code)
        assert codes == ["timeout", "connect", "dns", "connect"]
        assert isinstance(await sender.send(callout(receiver.url)), Answered)


async def test_a_place_that_is_given_to_somebody_who_leaves_goes_on(
    make_sender: MakeSender,
) -> None:
    sender = make_sender(terms=SenderTerms(connections=1, total_seconds=30, connect_seconds=20))
    async with Receiver(Hang(), Reply()) as receiver:
        first = asyncio.create_task(sender.send(callout(receiver.url)))
        await receiver.received(1)
        second, third = [asyncio.create_task(sender.send(callout(receiver.url))) for _ in "23"]
        await heard_of_it()
        first.cancel()
        await asyncio.wait([first])  # its place is the second's now
        second.cancel()
        result = await third
        await asyncio.wait([second])
    assert isinstance(result, Answered)


async def test_many_deadlines_pass_each_at_its_time(make_sender: MakeSender) -> None:
    sender = make_sender(terms=SenderTerms(total_seconds=0.3, connect_seconds=0.2))
    loop = asyncio.get_running_loop()

    async def late(after: float) -> float:
        began = loop.time()
        result = await sender.send(callout(receiver.url))
        assert isinstance(result, NotSent)
        assert result.code == "timeout"
        return loop.time() - began

    async with Receiver(Hang()) as receiver:
        first = [asyncio.create_task(late(0)) for _ in range(3)]
        await receiver.received(3)
        second = [asyncio.create_task(late(0)) for _ in range(3)]
        taken = await asyncio.gather(*first, *second)
    assert all(0.29 < seconds < 2 for seconds in taken), taken
    await heard_of_it()
    assert pool_of(sender) == 0


async def test_an_answer_before_the_request_was_sent_ends_the_connection(
    sender: AnySender,
) -> None:
    """What is left of the request would be read as the next one (RFC 9112, 9.3)."""

    async def early(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await wire.gone()

    async with Receiver(greet=early) as receiver:
        for _ in range(2):
            result = await sender.send(callout(receiver.url, b"x" * 16 * 2**20))
            assert isinstance(result, Answered)
        assert receiver.connection_count == 2


async def test_a_long_body_goes_over_tls_whole(
    make_sender: MakeSender, authority: Authority
) -> None:
    body = bytes(range(256)) * 4 * 1_500
    sender = make_sender(tls=authority.trusted())
    async with Receiver(tls=authority.server("127.0.0.1")) as receiver:
        for _ in range(2):
            assert isinstance(await sender.send(callout(receiver.url, body)), Answered)
        arrivals = await receiver.received(2)
        assert receiver.connection_count == 1
    assert [arrival.body for arrival in arrivals] == [body, body]


@pytest.mark.parametrize(
    "header",
    [("x", "a\r\nb: c"), ("x\r\ny", "a"), ("x", "a\nb"), ("x", "a\0b"), ("x: y\r\nz", "a")],
)
async def test_no_header_can_begin_another(sender: AnySender, header: tuple[str, str]) -> None:
    async with Receiver() as receiver:
        result = await sender.send(Callout(receiver.url, (header,), b"{}", "caller_1"))
        assert isinstance(result, NotSent)
        assert "log" in result.detail
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        assert len(receiver.arrivals) == 1


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("HOST", "other.test"),
        ("connection", "upgrade"),
        ("", "a"),
        ("a b", "c"),
        ("x", "a\x7f"),
    ],
)
async def test_the_narrow_one_writes_its_framing_itself(
    make_sender: MakeSender, sender_name: str, header: tuple[str, str]
) -> None:
    """A submission can't ask for these (`core.submission`); a defect of ours can't send them."""
    if sender_name != "narrow":
        pytest.skip("aiohttp's takes some of them as given")
    async with Receiver() as receiver:
        result = await make_sender().send(Callout(receiver.url, (header,), b"{}", "caller_1"))
        assert isinstance(result, NotSent)
        assert "log" in result.detail
        assert receiver.connection_count == 0


async def test_nothing_is_left_of_many_exchanges(make_sender: MakeSender) -> None:
    sender = make_sender(terms=SenderTerms(total_seconds=60))
    if not isinstance(sender, NarrowSender):
        pytest.skip("aiohttp keeps a timer an attempt")

    async def close_some(wire: Wire, arrival: Arrival) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with Receiver(close_some) as receiver:
        for _ in range(20):
            await asyncio.gather(*[sender.send(callout(receiver.url)) for _ in range(8)])
        parts = sender._parts
        assert parts is not None
        assert not parts.deadlines._open
        assert parts.pool._taken == 0
        assert not parts.pool._waiting


async def test_an_exchange_leaves_nothing_for_the_garbage_collector(
    make_sender: MakeSender,
) -> None:
    """llhttp's parser and the answer refer to one another; thousands a second would pile up."""
    sender = make_sender()
    if not isinstance(sender, NarrowSender):
        pytest.skip("it is of the narrow one's making")
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

    async def in_chunks(wire: Wire, _: Arrival) -> None:
        await wire.send(chunked)

    async with Receiver(Reply(200, b"ok"), Reply(204), in_chunks) as receiver:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert isinstance(await sender.send(callout(receiver.url)), Answered)
            await asyncio.sleep(0)  # the event loop lets go of what has woken us
            left = [each for each in gc.get_objects() if isinstance(each, Answer)]
        finally:
            gc.enable()
    assert not left


async def test_a_deadline_that_passed_while_connecting_holds() -> None:
    """It may pass a moment before the connection is there; then nobody would wait for the other."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(0.01, loop)
    deadline = deadlines.begin()
    earlier: asyncio.Future[None] = loop.create_future()
    deadline.watch(earlier)
    with pytest.raises(TimeoutError):  # it has passed
        await earlier
    waiter: asyncio.Future[None] = loop.create_future()
    deadline.watch(waiter)
    with pytest.raises(TimeoutError):
        await waiter
    deadlines.end(deadline)
    deadlines.close()
