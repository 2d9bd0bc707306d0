"""The client with a real service: whatever that offers, a job is waited for and heard of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.client import Client, Invalid, Job, JobNotDone, JobUnsuccessful, NotFound
from tests.whole.rig import GATE_APP, Gate, Rig, rig

pytestmark = pytest.mark.whole


@pytest.fixture
async def open_gated(tmp_path: Path) -> AsyncIterator[Rig]:
    """A service of the gate's jobs that needs no key."""
    async with rig(tmp_path, app=GATE_APP, dev=True) as made:
        yield made


async def test_a_job_from_submission_to_result(tmp_path: Path) -> None:
    async with rig(tmp_path, dev=True) as here, Client(here.service.url) as client:
        job = await client.submit("dispatcher.echo", {"n": [1, 2]}, correlation_id="order-7")
        done = await client.wait(job, timeout_seconds=20)
        assert (done.id, done.succeeded, done.result) == (job.id, True, {"n": [1, 2]})
        assert done.correlation_id == "order-7"
        assert done.finished_at is not None
        assert await client.result(done) == {"n": [1, 2]}
        heard = [each async for each in client.follow(done)]
        assert heard[-1].type == "job.succeeded"
        assert (await client.cancel(done)).status == "succeeded"

        first = await client.submit("dispatcher.echo", 1, idempotency_key="once")
        assert (await client.submit("dispatcher.echo", 1, idempotency_key="once")).id == first.id

        with pytest.raises(Invalid) as caught:
            await client.submit("no.such-type", 1, priority=77)
        assert {each.pointer for each in caught.value.errors} == {"/type", "/priority"}
        with pytest.raises(NotFound) as unknown:
            await client.get("job_" + "0" * 32)
        assert unknown.value.code == "job-not-found"


async def test_a_job_is_waited_for_across_a_crash(open_gated: Rig, gate: Gate) -> None:
    seen: list[Job] = []
    async with Client(open_gated.service.url) as client:
        job = await client.submit("gate.wait", gate.port)
        waiting = asyncio.create_task(client.wait(job, timeout_seconds=60, on_change=seen.append))
        await gate.entered()
        with pytest.raises(JobNotDone):
            await client.result(job)
        open_gated.service.kill()
        await open_gated.service.start()
        again = await gate.entered()
        await gate.let_through(again)
        done = await waiting
    assert (done.status, done.attempt_count) == ("succeeded", 2)
    assert seen[-1] is done


async def test_a_job_that_was_canceled_has_no_result(open_gated: Rig, gate: Gate) -> None:
    async with Client(open_gated.service.url) as client:
        job = await client.submit("gate.wait", gate.port)
        await gate.entered()
        await client.cancel(job)
        assert (await client.wait(job, timeout_seconds=20)).status == "canceled"
        with pytest.raises(JobUnsuccessful) as caught:
            await client.result(job)
    assert caught.value.code == "job-canceled"
    assert caught.value.error is not None


async def test_the_feed_is_gone_on_from_where_it_was(tmp_path: Path) -> None:
    async with rig(tmp_path, dev=True) as here, Client(here.service.url) as client:
        ids = [(await client.submit("dispatcher.echo", n, wait_seconds=20)).id for n in range(3)]
        feed = client.events(types=["job.succeeded"], page_items=2, follow=False)
        assert [each.data["id"] async for each in feed] == ids
        # One that waits for news gets it, and the service may be killed meanwhile.
        news = client.events(feed.cursor)
        waiting = asyncio.ensure_future(anext(news))
        here.service.kill()
        await here.service.start()
        job = await client.submit("dispatcher.echo", 4)
        heard = await asyncio.wait_for(waiting, 30)
        assert (heard.type, heard.data["id"]) == ("job.succeeded", job.id)
        again = await anext(client.events(news.cursor))
        assert again.id == heard.id  # not behind what was taken: nothing is missed


async def test_a_job_is_followed_live(open_gated: Rig, gate: Gate) -> None:
    async with Client(open_gated.service.url) as client:
        job = await client.submit("gate.wait", gate.port)
        statuses: list[str] = []
        waiting = asyncio.create_task(
            client.wait(
                job, timeout_seconds=30, on_change=lambda seen: statuses.append(seen.status)
            )
        )
        following = client.follow(job)
        last = asyncio.ensure_future(anext(following))
        await gate.let_through(await gate.entered())
        assert (await last).type == "job.succeeded"
        assert await anext(following, None) is None
        assert (await waiting).succeeded
    assert statuses[-1] == "succeeded"
