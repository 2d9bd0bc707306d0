"""The client for programs without an event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from dispatcher.client import (
    Job,
    NotFound,
    Patience,
    SyncClient,
    Unavailable,
    Unreachable,
    WaitTimedOut,
)
from tests.client.played import Played, Reply, event, job, page, played, streaming, written


@pytest.fixture
async def service() -> AsyncIterator[Played]:
    async with played(Reply(500)) as (service, _):
        yield service


async def test_every_call_blocks_for_its_answer(service: Played) -> None:
    told: list[Job] = []

    def work() -> object:
        with SyncClient(service.url) as client:
            submitted = client.submit("t", {"n": 1}, queue="slow")
            assert client.get(submitted).status == "queued"
            assert client.wait(submitted, on_change=told.append).succeeded
            assert client.cancel(submitted).done
            return client.result(submitted, int)

    done = job("succeeded")
    service.acts = [Reply(202, job()), Reply(200, job()), *[Reply(200, done)] * 2, Reply(200, 7)]
    assert await asyncio.to_thread(work) == 7
    assert [each.status for each in told] == ["succeeded"]


async def test_events_are_iterated(service: Played) -> None:
    def work() -> tuple[list[str | None], list[str], str | None]:
        with SyncClient(service.url) as client:
            followed = [each.id for each in client.follow("job_1")]
            feed = client.events(follow=False)
            return followed, [each.id for each in feed], feed.cursor

    service.acts = [
        streaming(written(event(1), "c1"), written(event(2, "job.succeeded"), "c2")),
        Reply(200, page(event(3), after="p1")),
        Reply(200, page(after="p2")),
    ]
    assert await asyncio.to_thread(work) == (["evt_1", "evt_2"], ["evt_3"], "p2")


async def test_whoever_stops_in_the_middle_leaves_nothing_open(service: Played) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(written(event(1), "c1"))
                await asyncio.sleep(0.01)  # its pace: nothing waits for that
        finally:
            gone.set()

    def work() -> None:
        with SyncClient(service.url) as client:
            for _ in client.follow("job_1"):
                break

    service.acts = [endless]
    await asyncio.to_thread(work)
    async with asyncio.timeout(5):
        await gone.wait()


async def test_errors_are_the_same(service: Played) -> None:
    service.acts = [Reply(404), Reply(200, job("running"))]

    def work() -> None:
        with SyncClient(service.url) as client:
            with pytest.raises(NotFound):
                client.get("job_1")
            with pytest.raises(WaitTimedOut):
                client.wait("job_1", timeout_seconds=0)

    await asyncio.to_thread(work)


async def test_its_thread_ends_with_it(service: Played) -> None:
    def own() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "dispatcher-client"]

    client = SyncClient(service.url)
    assert own() == ["dispatcher-client"]
    await asyncio.to_thread(client.close)
    await asyncio.to_thread(client.close)
    assert own() == []


async def test_closing_ends_what_other_threads_wait_for(service: Played) -> None:
    """They waited for ever: the loop that should have told them had stopped."""
    asked, tested = asyncio.Event(), asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        asked.set()
        await tested.wait()
        return web.Response()

    service.acts = [silent]
    client = SyncClient(service.url)
    waiting = asyncio.create_task(asyncio.to_thread(client.wait, "job_1"))
    async with asyncio.timeout(5):
        await asked.wait()
        await asyncio.to_thread(client.close)
        with pytest.raises(Unreachable, match="was closed before"):
            await waiting
    tested.set()
    with pytest.raises(RuntimeError, match="is closed"):
        client.get("job_1")


async def test_what_it_calls_must_not_call_it(service: Played) -> None:
    """Its thread would wait for itself, and all others for it."""
    service.acts = [Reply(200, job("running"))]

    def work() -> None:
        with SyncClient(service.url) as client:
            with pytest.raises(RuntimeError, match="must not call it"):
                client.wait("job_1", on_change=client.cancel)
            with pytest.raises(RuntimeError, match="must not call it"):
                client.wait("job_1", on_change=lambda _: client.close())

    async with asyncio.timeout(5):
        await asyncio.to_thread(work)


async def test_a_feed_goes_on_after_an_error(service: Played) -> None:
    """It had ended then, without a word: a program went on as if there were no more events."""
    service.acts = [
        Reply(200, page(event(1), after="p1")),
        Reply(503),
        Reply(200, page(event(2), after="p2")),
    ]

    def work() -> list[str]:
        with SyncClient(service.url, patience=Patience(tries=1)) as client:
            feed = client.events()
            first = next(feed)
            with pytest.raises(Unavailable):
                next(feed)
            return [first.id, next(feed).id]

    assert await asyncio.to_thread(work) == ["evt_1", "evt_2"]
    assert "cursor=p1" in service.seen[-1].target


def test_after_a_fork_it_says_so() -> None:
    """The child has no thread that would do its calls."""
    code = """
import os
from dispatcher.client import SyncClient
client = SyncClient()
if os.fork() == 0:
    try:
        client.get("job_1")
    except RuntimeError as error:
        client.close()
        os._exit(0 if "fork" in str(error) else 1)
_, status = os.wait()
client.close()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, check=False, timeout=20).returncode == 0


def test_closing_that_was_interrupted_is_done_again() -> None:
    """Who closed it once more, after Ctrl-C, waited for a thread that nobody had told to end."""
    code = """
import signal, threading
from dispatcher.client import SyncClient
signal.signal(signal.SIGALRM, signal.default_int_handler)
client, go_on = SyncClient(), threading.Event()
client._loop.call_soon_threadsafe(go_on.wait)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    client.close()
except KeyboardInterrupt:
    go_on.set()
    client.close()
    raise SystemExit(client._thread.is_alive())
raise SystemExit(2)
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=False, timeout=20).returncode == 0
