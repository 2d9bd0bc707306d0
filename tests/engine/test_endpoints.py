"""Registered endpoints in the engine: what is asked of running jobs, signing, and late deletion."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from dispatcher.core.changes import LeasedJob
from dispatcher.core.endpoints import DEFAULT_EVENTS, Endpoint
from dispatcher.core.errors import EndpointDeleted, NotFound, TooMany
from dispatcher.core.facts import DeliveryAttemptEnded, JobEnded, StoreFailed
from dispatcher.core.model import DeliveryState, EventType, Progress
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.engine.deliver import UNPREPARED_MS
from dispatcher.ports.runner import RunReport
from dispatcher.ports.views import DeliveryFilter
from tests.databases import Database
from tests.engine.stage import FAILS, ScriptedRunner, Stage

HOOK = "https://hooks.example/in"


async def halfway(leased: LeasedJob, report: RunReport) -> JobOutcome:
    report.progress(Progress(1, 2))
    await report.output(b'"half"')
    return Succeeded(b"null")


@pytest_asyncio.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    stage = Stage(database, ScriptedRunner(halfway))
    await stage.start()
    yield stage
    await stage.close()


async def register(stage: Stage, **members: Any) -> Endpoint:
    endpoint = Endpoint(
        id=stage.engine.endpoints.new_id(),
        caller_id=stage.caller.id,
        url=HOOK,
        origin="https://hooks.example",
        events=DEFAULT_EVENTS,
        created_at=stage.clock.now(),
    )
    made = await stage.engine.endpoints.create(replace(endpoint, **members), most=9)
    return made.record.endpoint


async def sent_at(stage: Stage, url: str, count: int = 1) -> list[DeliveryAttemptEnded]:
    return await stage.seen(DeliveryAttemptEnded, lambda fact: fact.url == url, count=count)


@pytest.mark.parametrize("asked", [True, False])
async def test_progress_is_stored_if_an_endpoint_asks(stage: Stage, asked: bool) -> None:
    events = (EventType.JOB_PROGRESS, EventType.JOB_OUTPUT) if asked else DEFAULT_EVENTS
    endpoint = await register(stage, events=events)
    job = await stage.submit()
    await stage.seen(JobEnded)
    found = await stage.store.list_events(job.id, None, limit=9, after=0)
    assert found is not None
    types = [event.type for event, _ in found[1]]
    assert (EventType.JOB_PROGRESS in types) is asked
    assert EventType.JOB_OUTPUT in types
    page = await stage.store.list_deliveries(
        DeliveryFilter(endpoint_id=endpoint.id), limit=9, before=None
    )
    owed = {record.delivery.event_type for record in page.items}
    assert owed == ({*events} if asked else {EventType.JOB_SUCCEEDED})


async def test_what_can_not_be_signed_is_looked_at_again(stage: Stage) -> None:
    """Sealed under a key that is lost: no attempt is used up, and the caller's own go on."""
    endpoint = await register(stage)
    await stage.store.rotate_endpoint_secret(
        endpoint.id, b"\0 nothing that opens", stage.clock.now(), overlap_seconds=0
    )
    await stage.submit()
    await stage.seen(StoreFailed, lambda fact: fact.during.startswith("signing"))
    await stage.sender.until(1)
    await stage.rest()
    assert [each.url for each in stage.sender.sent] != [HOOK]
    asked = DeliveryFilter(endpoint_id=endpoint.id)
    async with asyncio.timeout(60):  # it is put back once it was told
        while True:
            (record,) = (await stage.store.list_deliveries(asked, limit=9, before=None)).items
            if record.delivery.state is DeliveryState.PENDING:
                break
    assert record.delivery.attempt_count == 0
    assert record.delivery.due_at == stage.clock.now() + UNPREPARED_MS


async def test_one_that_was_deleted_is_not_redelivered(stage: Stage) -> None:
    endpoint = await register(stage)
    await stage.submit()
    (fact,) = await sent_at(stage, HOOK)
    assert fact.endpoint_id == endpoint.id
    await stage.store.delete_endpoint(endpoint.id, stage.clock.now())
    with pytest.raises(EndpointDeleted):
        await stage.engine.redeliver.redeliver(fact.delivery_id, stage.caller.id)


async def test_a_version_that_was_overtaken_is_changed_anew(stage: Stage) -> None:
    """Two change it at the same time: each finds what the other did."""
    endpoint = await register(stage)

    async def other() -> None:
        found = await stage.store.get_endpoint(endpoint.id, None)
        assert found is not None
        now = found.endpoint
        assert await stage.store.put_endpoint(replace(now, headers=("x",), version=now.version + 1))

    await other()
    record = await stage.engine.endpoints.change(
        endpoint.id, stage.caller.id, lambda one: replace(one, ordered=True)
    )
    assert (record.endpoint.headers, record.endpoint.ordered) == (("x",), True)
    assert record.endpoint.version == 3


async def test_a_caller_registers_as_many_as_it_may(stage: Stage) -> None:
    endpoint = await register(stage)
    engine = stage.engine.endpoints
    await engine.create(replace(endpoint, id=engine.new_id()), most=2)
    with pytest.raises(TooMany):
        await engine.create(replace(endpoint, id=engine.new_id()), most=2)


async def test_an_endpoint_has_as_many_secrets_in_force_as_it_may(stage: Stage) -> None:
    endpoint = await register(stage)
    for _ in range(4):
        await stage.engine.endpoints.rotate_secret(endpoint.id, None, overlap_seconds=60)
    with pytest.raises(TooMany):
        await stage.engine.endpoints.rotate_secret(endpoint.id, None, overlap_seconds=60)


async def test_nothing_is_registered_for_a_caller_who_is_not_there(stage: Stage) -> None:
    endpoint = await register(stage)
    stranger = replace(endpoint, id="ep_x", caller_id="clr_nobody")
    with pytest.raises(NotFound):
        await stage.engine.endpoints.create(stranger, most=9)


async def test_another_callers_endpoint_is_not_found(stage: Stage) -> None:
    endpoint = await register(stage)
    with pytest.raises(NotFound):
        await stage.engine.endpoints.get(endpoint.id, "clr_another")


async def test_a_three_day_schedule_and_the_stretch_beyond_it(stage: Stage) -> None:
    """With the default terms: the first event dies after its schedule, the next disables it."""
    endpoint = await register(stage)
    stage.sender.answers[HOOK] = [FAILS] * 9
    await stage.submit()
    for count, seconds in ((1, 5), (2, 300), (3, 0)):  # the stage's schedule has three entries
        await sent_at(stage, HOOK, count)
        stage.advance(seconds)
    stage.advance(5 * 86_400)
    await stage.submit()
    await sent_at(stage, HOOK, 4)
    found = await stage.engine.endpoints.get(endpoint.id, None)
    assert found.endpoint.disabled_reason == "failing"


async def test_the_body_says_where_it_goes(stage: Stage) -> None:
    await register(stage)
    await stage.submit()
    (callout,) = await stage.sender.until(1, HOOK)
    assert json.loads(callout.body)["callbackUrl"] == HOOK
