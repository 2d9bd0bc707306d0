from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatcher.core.model import Trace
from dispatcher.core.trace import (
    begins_with,
    begun_for,
    child_of,
    in_attempt,
    is_sampled,
    parent_id,
    span_of,
    trace_id,
)
from dispatcher.web.headers import parse_trace
from tests.fact_samples import JOB

# The example of W3C Trace Context, 3.2.3.
EXAMPLE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE")


def test_the_parts_of_a_traceparent() -> None:
    assert trace_id(EXAMPLE) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert parent_id(EXAMPLE) == "00f067aa0ba902b7"
    assert is_sampled(EXAMPLE)
    assert not is_sampled(Trace(EXAMPLE.traceparent[:-1] + "2"))


def test_a_child_keeps_all_but_the_parent() -> None:
    child = child_of(EXAMPLE, "b7ad6b7169203331")
    assert child == Trace(
        "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01", "congo=t61rcWkgMzE"
    )


def test_an_attempt_is_a_child_and_another_one_another() -> None:
    job = replace(JOB, trace=EXAMPLE)
    first, second = in_attempt(job, "lse_1").trace, in_attempt(job, "lse_2").trace
    assert first is not None
    assert second is not None
    assert parent_id(first) == span_of("lse_1") != parent_id(second)
    assert in_attempt(JOB, "lse_1") is JOB


@given(st.text(min_size=1), st.booleans())
def test_what_we_begin_is_what_we_would_accept(job_id: str, sampled: bool) -> None:
    trace = begun_for(job_id, sampled=sampled)
    assert parse_trace([trace.traceparent], []) == trace
    assert is_sampled(trace) is sampled
    assert begins_with(replace(JOB, id=job_id, trace=trace))


def test_a_callers_trace_is_not_ours() -> None:
    assert not begins_with(replace(JOB, trace=EXAMPLE))
    assert not begins_with(JOB)
