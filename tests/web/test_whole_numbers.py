"""`2.0` is an integer in JSON Schema, and so it is here; what else stands in a body is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.web.faults import whole_numbers
from dispatcher.web.wire import CallerChangeBody, LimitsBody, SubmissionBody
from tests.web.edge import Edge

ECHO = b'"type":"dispatcher.echo","input":'


@pytest.mark.parametrize(
    ("given_", "whole"),
    [
        (b"2.0", b"2"),
        (b"-0.0", b"0"),
        (b"1e2", b"100"),
        (b"2.50e1", b"25"),
        (b"2.5", b"2.5"),
        (b"1e300", b"1e300"),  # a float that stands for many integers
        (b"9007199254740992.0", b"9007199254740992.0"),
        (b'"2.0"', b'"2.0"'),
        (b"true", b"true"),
        (b"null", b"null"),
        (b"[2.0]", b"[2.0]"),
    ],
)
def test_where_an_integer_is_wanted(given_: bytes, whole: bytes) -> None:
    assert whole_numbers(given_, int) == whole
    body = b'{"priority":%b,"input":2.0}' % given_
    assert whole_numbers(body, SubmissionBody) == b'{"priority":%b,"input":2.0}' % whole


def test_deeper_and_through_what_may_be_absent() -> None:
    body = b'{"limits":{"rate":{"requests":6.0,"windowSeconds":1e1},"jobsWaiting":3.0}}'
    assert whole_numbers(body, CallerChangeBody) == (
        b'{"limits":{"rate":{"requests":6,"windowSeconds":10},"jobsWaiting":3}}'
    )
    assert whole_numbers(b"[]", LimitsBody) == b"[]"


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_it_is_the_same_number(number: int) -> None:
    assert json.loads(whole_numbers(b"%d.0" % number, int)) == number


async def test_a_submission_with_one_is_taken_and_its_input_is_kept(edge: Edge) -> None:
    answer = await edge.submit(b"{%b[1.0, 2],%b}" % (ECHO, b'"priority":3.0,"maxAttempts":2e0'))
    assert answer.status == 202, answer.body
    (submission,) = edge.taking.submissions
    assert (submission.priority, submission.max_attempts) == (3, 2)
    assert submission.input == b"[1.0, 2]"


async def test_what_is_wrong_besides_is_told_alone(edge: Edge) -> None:
    answer = await edge.submit(b"{%bnull,%b}" % (ECHO, b'"priority":3.0,"maxAttempts":2.5'))
    assert answer.pointers == ["/maxAttempts"]
