"""Spans, with the SDK's own exporter in memory."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from dispatcher.adapters.spans import SpanObserver
from dispatcher.core.facts import DeliveryAttemptEnded, Fact, JobAccepted, JobAttemptEnded
from dispatcher.core.model import JobState, Trace
from dispatcher.core.outcome import Succeeded
from dispatcher.core.trace import parent_id, span_of, trace_id
from tests import fact_samples as samples
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, URL, a_callback
from tests.engine.test_path import header

TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE")
NOW_NS = 1_769_851_800_000_000_000


def spans_of(facts: Sequence[Fact]) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    observer = SpanObserver(SimpleSpanProcessor(exporter), now_ns=lambda: NOW_NS)
    for fact in facts:
        observer.saw(fact)
    observer.close()
    return exporter.get_finished_spans()


def of(span: ReadableSpan) -> tuple[str, str, str | None]:
    assert span.context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


async def test_the_spans_of_a_job_are_one_tree_below_the_callers(stages: Stages) -> None:
    stage = await stages.start(spans=True)
    stage.sender.answers[URL] = [FAILS]
    job = await stage.submit(callback=a_callback(), trace=TRACE)
    await stage.seen(DeliveryAttemptEnded)
    stage.advance(5.5)
    await stage.seen(DeliveryAttemptEnded, count=2)

    found = spans_of(stage.observer.facts)
    assert [span.name for span in found] == [
        "work accept",
        "work run",
        "job.succeeded deliver",
        "job.succeeded deliver",
    ]
    accept, run, *sent = map(of, found)
    assert {each[0] for each in (accept, run, *sent)} == {trace_id(TRACE)}
    assert accept[1:] == (span_of(job.id), parent_id(TRACE))
    # The handler was told the span of its attempt, and each receiver that of its own.
    (leased,) = stage.runner.begun
    assert leased.job.trace is not None
    assert run[1:] == (parent_id(leased.job.trace), accept[1])
    told = [header(callout, "traceparent") for callout in stage.sender.sent]
    assert [each[1] for each in sent] == [text.split("-")[2] for text in told]
    assert [each[2] for each in sent] == [accept[1]] * 2
    assert len({each[1] for each in (accept, run, *sent)}) == 4
    assert {header(callout, "tracestate") for callout in stage.sender.sent} == {TRACE.tracestate}
    assert [span.status.status_code for span in found[2:]] == [StatusCode.ERROR, StatusCode.UNSET]
    # What is stored is the trace as it came.
    assert (await stage.read(job)).job.trace == TRACE


async def test_a_job_without_a_trace_begins_one(stages: Stages) -> None:
    stage = await stages.start(spans=True)
    await stage.submit()
    await stage.seen(JobAttemptEnded)
    accept, run = map(of, spans_of(stage.observer.facts)[:2])
    assert accept[2] is None
    assert run == (accept[0], run[1], accept[1])


async def test_without_spans_a_trace_is_passed_on_as_it_came(stages: Stages) -> None:
    stage = await stages.start()
    await stage.submit(trace=TRACE)
    await stage.seen(DeliveryAttemptEnded)
    (leased,) = stage.runner.begun
    assert leased.job.trace == TRACE
    assert header(stage.sender.sent[0], "traceparent") == TRACE.traceparent


def test_a_trace_that_nobody_records_makes_no_span() -> None:
    job = replace(samples.JOB, trace=Trace(TRACE.traceparent[:-1] + "0"))
    facts = (JobAccepted(job, handed_off=True), replace(samples.ENDED, job=job), samples.SENT)
    assert spans_of(facts) == ()
    assert spans_of(samples.FACTS) == ()


def test_what_a_span_says() -> None:
    job = replace(samples.JOB, trace=TRACE, correlation_id="order-7")
    fact = replace(
        samples.ENDED,
        job=job,
        to=JobState.FAILED,
        outcome=Succeeded.__name__,
        error_code="no-data",
    )
    sent = replace(samples.SENT, trace=TRACE)
    run, delivery = spans_of((fact, sent))
    assert run.start_time == NOW_NS - 120_000_000
    assert run.end_time == NOW_NS
    assert run.attributes == {
        "dispatcher.job.id": "job_1",
        "dispatcher.job.type": "csv.profile",
        "dispatcher.queue": "files",
        "dispatcher.caller.id": "clr_secret",
        "dispatcher.correlation_id": "order-7",
        "dispatcher.attempt": 1,
        "dispatcher.outcome": "Succeeded",
        "dispatcher.waited_ms": 7,
        "error.type": "no-data",
    }
    assert run.status.description == "no-data"
    assert run.resource.attributes["service.name"] == "dispatcher"
    assert delivery.attributes is not None
    assert delivery.attributes["url.full"] == "https://receiver.example/in"
    assert delivery.attributes["http.response.status_code"] == 204


async def test_a_trace_that_could_not_be_understood_begins_anew(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit(new_trace=True)
    await stage.seen(DeliveryAttemptEnded)
    assert job.trace is not None
    assert job.trace.traceparent.endswith("-02")  # nobody records it: not sampled
    assert header(stage.sender.sent[0], "traceparent") == job.trace.traceparent
    assert (await stage.submit()).trace is None
