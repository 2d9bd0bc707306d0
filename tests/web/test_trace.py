"""A trace that comes with a submission, as a caller on a socket sends it."""

from __future__ import annotations

import pytest

from dispatcher.core.model import Trace
from tests.web.edge import Edge
from tests.web.edge_jobs import ECHO

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
GOOD = f"00-{TRACE}-{PARENT}-01"
Fields = list[tuple[str, str]]

# The values themselves are tried in test_headers. Here is what a header's name and number do:
# W3C trace-context, test/test.py, TraceContextTest.


@pytest.mark.parametrize(
    "fields",
    [
        [("traceparent", GOOD)],
        [("TraceParent", GOOD)],  # test_traceparent_header_name_valid_casing
        [("TRACEPARENT", f"\t {GOOD} \t")],  # test_traceparent_ows_handling
    ],
)
async def test_a_trace_goes_on(edge: Edge, fields: Fields) -> None:
    answer = await edge.submit(ECHO, headers=fields)
    assert answer.status == 202
    (submission,) = edge.taking.submissions
    assert (submission.trace, submission.new_trace) == (Trace(GOOD), False)


@pytest.mark.parametrize(
    "fields",
    [
        # test_traceparent_duplicated: neither may be used
        [("traceparent", GOOD.replace("9012-", "9011-")), ("traceparent", GOOD)],
        [("traceparent", GOOD + ".")],
        [("traceparent", "")],
        [("traceparent", GOOD.replace(PARENT, "0" * 16)), ("tracestate", "foo=1")],
    ],
)
async def test_another_trace_begins_where_it_can_not_be_understood(
    edge: Edge, fields: Fields
) -> None:
    assert (await edge.submit(ECHO, headers=fields)).status == 202
    (submission,) = edge.taking.submissions
    assert (submission.trace, submission.new_trace) == (None, True)


@pytest.mark.parametrize(
    "fields",
    [
        [],  # test_both_traceparent_and_tracestate_missing
        [("trace-parent", GOOD)],  # test_traceparent_header_name
        [("trace.parent", GOOD)],
        [("tracestate", "foo=1")],  # test_tracestate_included_traceparent_missing
    ],
)
async def test_no_trace_is_no_trace(edge: Edge, fields: Fields) -> None:
    assert (await edge.submit(ECHO, headers=fields)).status == 202
    (submission,) = edge.taking.submissions
    assert (submission.trace, submission.new_trace) == (None, False)


async def test_several_tracestates_are_one_list(edge: Edge) -> None:
    """test_tracestate_multiple_headers_different_keys."""
    fields = [
        ("traceparent", GOOD),
        ("tracestate", "foo=1,"),
        ("tracestate", "bar=2,rojo=1"),
        ("tracestate", "congo=2"),
    ]
    assert (await edge.submit(ECHO, headers=fields)).status == 202
    (submission,) = edge.taking.submissions
    assert submission.trace == Trace(GOOD, "foo=1,bar=2,rojo=1,congo=2")
