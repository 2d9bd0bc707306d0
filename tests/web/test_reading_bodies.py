"""How a body comes: asked for or not, in which coding, in part, and up to which bound."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from dispatcher.core.limits import Limits
from tests.web.edge import Edge
from tests.web.test_bodies_at_once import FOUR, Sending

ECHO = {"type": "dispatcher.echo", "input": {"hello": "world"}}
NOWHERE = f"/v1/jobs/job_{'0' * 32}/cancel"
BODY = json.dumps(ECHO).encode()
SUBMIT = b"Host: x\r\nAuthorization: Bearer dsp_ada\r\nContent-Type: application/json\r\n"


async def test_nothing_is_asked_for_where_http_1_0_has_no_words_for_it(edge: Edge) -> None:
    """RFC 9110, 10.1.1: an expectation in an HTTP/1.0 request is ignored."""
    head = b"POST /v1/jobs HTTP/1.0\r\n" + SUBMIT + b"Expect: 100-continue\r\n"
    answer = await edge.raw(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    assert answer.split(b"\r\n", 1)[0].split(b" ")[1] == b"202"


@pytest.mark.parametrize("coding", ["identity", "Identity"])
async def test_a_body_that_is_said_to_be_as_it_is_is_taken(edge: Edge, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await edge.call("POST", "/v1/jobs", data=BODY, headers=headers)
    assert answer.status == 202


async def test_who_leaves_in_the_middle_of_a_body_is_no_defect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    submission = ("POST", "/v1/jobs", "dsp_ada")
    async with Edge(limits=FOUR).running() as edge:
        async with Sending(edge, *submission) as held:
            assert await held.asked_for()
            async with Sending(edge, *submission) as other:
                assert not await other.asked_for()
        async with asyncio.timeout(10):  # until its place is free again
            while not await is_asked_for(edge, *submission):
                pass
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def is_asked_for(edge: Edge, *request: str) -> bool:
    async with Sending(edge, *request) as sending:
        return await sending.asked_for()


async def test_a_body_that_is_to_be_nothing_has_no_more_room_than_any() -> None:
    headers = {"Content-Type": "application/json"}
    async with Edge(limits=Limits(body_bytes=9)).running() as edge:
        for size, status in ((9, 404), (10, 413)):
            body = b"{}".ljust(size)
            answer = await edge.call("POST", NOWHERE, data=body, headers=headers)
            assert answer.status == status
