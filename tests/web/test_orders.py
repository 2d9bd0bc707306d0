"""Bulk operations as they are submitted: who may order what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatcher.adapters.runners.bulk import QUEUE, BulkRunner
from dispatcher.core.bulk import BulkKind
from tests.web.doubles import ADA, BOB, OPS
from tests.web.edge import Answer, Edge

KINDS = sorted(BulkKind)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    made = Edge()
    made.services.catalog.put(BulkRunner(kind).type for kind in BulkKind)
    async with made.running() as running:
        yield running


async def ordered(edge: Edge, kind: str, key: str = "dsp_ada", **asked: Any) -> Answer:
    return await edge.submit({"type": kind, "input": asked}, key=key)


@pytest.mark.parametrize("kind", KINDS)
async def test_ones_own_things_need_no_name(edge: Edge, kind: str) -> None:
    for asked in ({}, {"callerId": ADA.id}, {"dryRun": True}):
        answer = await ordered(edge, kind, **asked)
        assert answer.status == 202, answer.body
        assert (answer.json["queue"], answer.json["maxAttempts"]) == (QUEUE, 25)


@pytest.mark.parametrize("kind", KINDS)
async def test_anothers_are_for_operators(edge: Edge, kind: str) -> None:
    refused = await ordered(edge, kind, callerId=BOB.id)
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    answer = await ordered(edge, kind, "dsp_ops", callerId=BOB.id)
    assert (answer.status, answer.json["callerId"]) == (202, OPS.id)
    (entry,) = edge.memory.audited
    assert (entry.action, entry.target, entry.caller_id) == ("bulk.order", BOB.id, BOB.id)
    assert json.loads(entry.detail) == {"type": kind, "input": {"callerId": BOB.id}}
    unknown = await ordered(edge, kind, "dsp_ops", callerId="clr_" + "9" * 32)
    assert (unknown.status, unknown.pointers) == (422, ["/input/callerId"])


@pytest.mark.parametrize("kind", KINDS)
async def test_what_does_not_fit_is_told_at_submission(edge: Edge, kind: str) -> None:
    answer = await ordered(edge, kind, colour="red", status="odd")
    assert (answer.status, sorted(answer.pointers)) == (422, ["/input/colour", "/input/status"])
    answer = await ordered(edge, kind, createdAfter="2026-02-31T00:00:00Z")
    assert (answer.status, answer.pointers) == (422, ["/input/createdAfter"])


async def test_a_replay_of_an_order_is_checked_as_the_order_was(edge: Edge) -> None:
    """A job that an operator ordered for somebody, replayed with a key that may not."""
    path = f"/v1/jobs?callerId={ADA.id}"
    body = {"type": BulkKind.CANCEL, "input": {"callerId": BOB.id}}
    answer = await edge.call("POST", path, key="dsp_ops", json=body)
    assert (answer.status, answer.json["callerId"]) == (202, ADA.id)
    again = f"/v1/jobs/{answer.json['id']}/replay"
    assert (await edge.call("POST", again)).status == 403
    assert (await edge.call("POST", again, key="dsp_ops")).status == 202


async def test_an_order_that_is_sent_again_is_audited_once(edge: Edge) -> None:
    body = {"type": BulkKind.CANCEL, "input": {"callerId": BOB.id}}

    async def send(key: str, asked: object = body) -> Answer:
        return await edge.submit(asked, key="dsp_ops", headers={"Idempotency-Key": key})

    first = await send("one")
    for _ in range(3):
        assert (await send("one")).json["id"] == first.json["id"]
    assert (await send("one", {**body, "priority": 1})).status == 422
    assert len(edge.memory.audited) == 1
    await send("two")
    for _ in range(2):
        await edge.submit(body, key="dsp_ops")
    assert len({entry.id for entry in edge.memory.audited}) == len(edge.memory.audited) == 4


async def test_one_that_is_done_again_is_audited_again(edge: Edge) -> None:
    """With the key of one that is long ago: it counts as unused."""
    body = {"type": BulkKind.CANCEL, "input": {"callerId": BOB.id}}
    for count in (1, 2, 3):
        await edge.submit(body, key="dsp_ops", headers={"Idempotency-Key": "one"})
        edge.taking._seen.clear()
        entries = edge.memory.audited
        assert [entry.target for entry in entries] == [BOB.id] * count
    assert len({entry.id for entry in entries}) == 3
