"""Spans of OpenTelemetry: the acceptance of a job, each attempt at it, each attempt to deliver.

Only imported where the setting `otel` is on; needs the extra `otel`. Where spans go is said as for
every program with OpenTelemetry, by the environment: `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_…`.

A span is made when its fact is told, whole: its id was named by the engine before (`core.trace`),
so that what the attempt called hangs below it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from dispatcher.core.facts import DeliveryAttemptEnded, Fact, JobAccepted, JobAttemptEnded
from dispatcher.core.model import DeliveryState, Job, JobState, Trace
from dispatcher.core.trace import begins_with, is_sampled, parent_id, span_of, trace_id

_MS: Final = 1_000_000
CLOSE_SECONDS: Final = 3.0
"""What is left when the service ends has so long to be exported."""

_SCOPE: Final = InstrumentationScope("dispatcher")

Attributes = Mapping[str, str | int | bool]


class SpanObserver:
    """Implements `ports.observer.Observer`: hands on a span for each fact that is one.

    A trace that its caller does not record (the sampled flag) makes none.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        *,
        version: str = "",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`processor` must take a span quickly, as a batching one does."""
        self._processor = processor
        self._now_ns = now_ns
        own = {SERVICE_NAME: "dispatcher", SERVICE_VERSION: version}
        # What the environment says wins; the SDK's default says "unknown_service".
        said = Resource.create().attributes
        named = {k: v for k, v in said.items() if not str(v).startswith("unknown_service")}
        self._resource = Resource(own).merge(Resource(named))

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`."""
        match fact:
            case JobAccepted(job=job, replayed=False):
                self._accepted(job)
            case JobAttemptEnded(job=job):
                self._ran(fact, job)
            case DeliveryAttemptEnded(trace=trace) if trace is not None:
                self._delivered(fact, trace)
            case _:
                pass

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Export what is left, for so long at most; blocks.

        The SDK's own bounds do not hold while its exporter tries again: a collector that is away
        would keep the service from ending.
        """
        ending = threading.Thread(target=self._processor.shutdown, name="spans-end", daemon=True)
        ending.start()
        ending.join(seconds)

    def _accepted(self, job: Job) -> None:
        if job.trace is None:
            return
        parent = None if begins_with(job) else parent_id(job.trace)
        self._end(
            f"{job.type} accept",
            job.trace,
            span_of(job.id),
            parent,
            SpanKind.PRODUCER,
            job.created_at * _MS,
            _of_job(job),
        )

    def _ran(self, fact: JobAttemptEnded, job: Job) -> None:
        if job.trace is None:
            return
        failed = fact.error_code is not None and fact.to is not JobState.CANCELED
        self._end(
            f"{job.type} run",
            job.trace,
            parent_id(job.trace),
            span_of(job.id),
            SpanKind.CONSUMER,
            self._now_ns() - fact.duration_ms * _MS,
            _of_job(job)
            | _known(
                **{
                    "dispatcher.attempt": fact.attempt,
                    "dispatcher.outcome": fact.outcome,
                    "dispatcher.waited_ms": fact.waited_ms,
                    "error.type": fact.error_code,
                }
            ),
            fact.error_code if failed else None,
        )

    def _delivered(self, fact: DeliveryAttemptEnded, trace: Trace) -> None:
        failed = fact.to is not DeliveryState.DELIVERED
        self._end(
            f"{fact.event_type} deliver",
            trace,
            parent_id(trace),
            None if fact.job_id is None else span_of(fact.job_id),
            SpanKind.CLIENT,
            self._now_ns() - fact.duration_ms * _MS,
            _known(
                **{
                    "dispatcher.delivery.id": fact.delivery_id,
                    "dispatcher.event.id": fact.event_id,
                    "dispatcher.job.id": fact.job_id,
                    "dispatcher.caller.id": fact.caller_id,
                    "dispatcher.correlation_id": fact.correlation_id,
                    "dispatcher.attempt": fact.attempt,
                    "http.request.method": "POST",
                    "http.response.status_code": fact.status_code,
                    "url.full": fact.url.partition("?")[0],  # queries carry tokens
                    "error.type": fact.error_code,
                }
            ),
            fact.error_code or "failed" if failed else None,
        )

    def _end(
        self,
        name: str,
        trace: Trace,
        span_id: str,
        parent: str | None,
        kind: SpanKind,
        start_ns: int,
        attributes: Attributes,
        failure: str | None = None,
    ) -> None:
        if not is_sampled(trace):
            return
        status = Status(StatusCode.UNSET) if failure is None else Status(StatusCode.ERROR, failure)
        self._processor.on_end(
            ReadableSpan(
                name,
                context=_context(trace, span_id, is_remote=False),
                parent=None if parent is None else _context(trace, parent, is_remote=True),
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                status=status,
                start_time=start_ns,
                end_time=max(self._now_ns(), start_ns),
                instrumentation_scope=_SCOPE,
            )
        )


def exporting(version: str) -> SpanObserver:
    """Spans by OTLP over HTTP, in batches, from a thread of their own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # tests do without
        OTLPSpanExporter,
    )

    return SpanObserver(BatchSpanProcessor(OTLPSpanExporter()), version=version)


def _context(trace: Trace, span_id: str, *, is_remote: bool) -> SpanContext:
    state = None if trace.tracestate is None else TraceState.from_header([trace.tracestate])
    return SpanContext(
        int(trace_id(trace), 16),
        int(span_id, 16),
        is_remote,
        TraceFlags(TraceFlags.SAMPLED),
        state,
    )


def _of_job(job: Job) -> dict[str, str | int | bool]:
    return _known(
        **{
            "dispatcher.job.id": job.id,
            "dispatcher.job.type": job.type,
            "dispatcher.queue": job.queue,
            "dispatcher.caller.id": job.caller_id,
            "dispatcher.correlation_id": job.correlation_id,
        }
    )


def _known(**attributes: object) -> dict[str, str | int | bool]:
    return {name: each for name, each in attributes.items() if isinstance(each, str | int)}
