"""W3C Trace Context (level 2) as values: what is sent on, and the ids of our own spans.

Without spans of our own a trace is passed on as it came: whoever is called hangs below the caller's
span, and nothing points at a span that nobody recorded. With them (`EngineTerms.spans`) each
attempt is a span, and what it sends names it as the parent (4.3: the same trace-id, a new
parent-id). The ids of spans are digests of ids that the store keeps: a span that is told after a
crash, or on another node, still finds its parent.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from dispatcher.core.model import Job, Trace

SAMPLED: Final = 0x01
RANDOM: Final = 0x02


def trace_id(trace: Trace) -> str:
    """The trace-id, 32 hex digits."""
    return trace.traceparent[3:35]


def parent_id(trace: Trace) -> str:
    """The parent-id, 16 hex digits: the span that whoever is called hangs below."""
    return trace.traceparent[36:52]


def is_sampled(trace: Trace) -> bool:
    """Whether who began the trace records it (3.2.2.5.1)."""
    return bool(int(trace.traceparent[53:55], 16) & SAMPLED)


def span_of(own_id: str) -> str:
    """The id of the span that stands for `own_id`: a job's id, or the lease of an attempt."""
    return _digest(own_id, 8)


def child_of(trace: Trace, span_id: str) -> Trace:
    """The same trace with `span_id` as the parent of what is called."""
    return Trace(f"{trace.traceparent[:36]}{span_id}{trace.traceparent[52:]}", trace.tracestate)


def begun_for(job_id: str, *, sampled: bool) -> Trace:
    """A new trace that begins with the acceptance of a job; `sampled` if we record spans.

    The trace-id is a digest of the job's id, which is random enough for the random flag (level 2,
    3.2.2.5.2).
    """
    flags = RANDOM | (SAMPLED if sampled else 0)
    return Trace(f"00-{_digest(job_id, 16)}-{span_of(job_id)}-{flags:02x}")


def begins_with(job: Job) -> bool:
    """Whether the job's trace is one that began with its acceptance."""
    return job.trace is not None and parent_id(job.trace) == span_of(job.id)


def in_attempt(job: Job, lease: str) -> Job:
    """The job as an attempt sees it that is a span of its own."""
    if job.trace is None:
        return job
    return replace(job, trace=child_of(job.trace, span_of(lease)))


def _digest(text: str, size: int) -> str:
    # All zeros would be no valid id (3.2.2.3, 3.2.2.4); a digest that is so has never been seen.
    return blake2b(text.encode(), digest_size=size).hexdigest()
