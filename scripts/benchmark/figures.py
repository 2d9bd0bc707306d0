"""The sums: what a scenario came to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct
from standardwebhooks import Webhook

from .generator import Measured
from .receiver import Findings, Sample
from .scenario import Scenario
from .terms import BenchmarkFailed


class Around(Struct, frozen=True, kw_only=True):
    """What is known of a service besides what generator and receiver saw."""

    memory: tuple[float, float] | None = None
    each_listener_kb: float | None = None
    bytes_per_job: float | None = None
    start_seconds: float | None = None
    rows: int = 0
    verified: int = 0


class Figures(Struct, frozen=True, kw_only=True):
    """What one scenario came to. Latencies in milliseconds, None where there is no callback.

    `start_seconds` is from the start of the process to its first accepted job; `after_handler` is
    from a handler's return to the callback's arrival. `rows` were in the store before.
    """

    name: str
    says: str
    jobs_per_second: float
    answer_p50_ms: float
    answer_p99_ms: float
    callback_p50_ms: float | None
    callback_p99_ms: float | None
    after_handler_p50_ms: float | None = None
    after_handler_p99_ms: float | None = None
    service_cpu_us_per_job: float | None
    service_memory_mb: float | None
    service_peak_memory_mb: float | None
    start_seconds: float | None = None
    bytes_per_job: float | None = None
    rows: int = 0
    listeners: int
    memory_kb_per_listener: float | None
    cpu_share: dict[str, float]
    accepted: int
    refused: int
    first_refusal: str | None
    lost: int
    duplicates: int
    verified: int


def figures(
    scenario: Scenario, measured: Measured, found: Findings | None, around: Around
) -> Figures:
    """Add up. What is counted a second are callbacks if there are any, else answers."""
    span = measured.end_at - measured.begin_at
    arrived = found.arrived_at if found else measured.answered_at
    over = sum(1 for at in arrived if measured.begin_at <= at < measured.end_at)
    window = [
        n for n, at in enumerate(measured.sent_at) if measured.begin_at <= at < measured.end_at
    ]
    answers = sorted(
        measured.answered_at[n] - measured.sent_at[n] for n in window if measured.accepted[n]
    )
    callbacks = sorted(
        arrived[n] - measured.sent_at[n] for n in window if n < len(arrived) and arrived[n]
    )
    accepted = [n for n, yes in enumerate(measured.accepted) if yes]
    lost = sum(1 for n in accepted if n >= len(arrived) or not arrived[n]) if found else 0
    service = measured.cpu_seconds.get("service")
    after = sorted(found.after_handler) if found else []
    return Figures(
        name=scenario.name,
        says=scenario.says,
        jobs_per_second=over / span,
        answer_p50_ms=percentile(answers, 0.5),
        answer_p99_ms=percentile(answers, 0.99),
        callback_p50_ms=percentile(callbacks, 0.5) if found else None,
        callback_p99_ms=percentile(callbacks, 0.99) if found else None,
        after_handler_p50_ms=percentile(after, 0.5) if after else None,
        after_handler_p99_ms=percentile(after, 0.99) if after else None,
        service_cpu_us_per_job=service / over * 1e6 if service is not None and over else None,
        service_memory_mb=around.memory[0] if around.memory else None,
        service_peak_memory_mb=around.memory[1] if around.memory else None,
        start_seconds=around.start_seconds,
        bytes_per_job=around.bytes_per_job,
        rows=around.rows,
        listeners=scenario.listeners,
        memory_kb_per_listener=around.each_listener_kb,
        cpu_share={name: used / span for name, used in measured.cpu_seconds.items()},
        accepted=len(accepted),
        refused=measured.refused,
        first_refusal=measured.first_refusal,
        lost=lost,
        duplicates=found.duplicates if found else 0,
        verified=around.verified,
    )


def verified(found: Findings, secret: str) -> int:
    """How many of the sampled callbacks the public library would have signed so: all, or it raises.

    Its verifier would refuse those of a measurement that took longer than five minutes.
    """
    library = Webhook(secret)
    for sample in found.samples:
        headers = _headers(sample)
        sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = library.sign(headers["webhook-id"], sent_at, sample.body)
        if signature not in headers["webhook-signature"].split(" "):
            raise BenchmarkFailed(f"{headers['webhook-id']} is not signed as it should be.")
    return len(found.samples)


def _headers(sample: Sample) -> dict[str, str]:
    lines = sample.head.split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def percentile(seconds: Iterable[float | None], share: float) -> float:
    """In milliseconds; the smallest value that `share` of all that are there do not exceed."""
    ordered = sorted(each for each in seconds if each is not None)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000
