"""Counting facts and commits. A fact costs about a microsecond: it is on the path of every job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from platform import python_version
from typing import Any, Final, get_args

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dispatcher.adapters.metrics import series
from dispatcher.adapters.metrics.tallies import OTHER, Count, Spread, Spreads, Words, empty, gauge
from dispatcher.core.endpoints import DisabledReason
from dispatcher.core.facts import (
    DeliveryAttemptEnded,
    DeliverySwept,
    EndpointSwitched,
    Fact,
    JobAccepted,
    JobAttemptEnded,
    JobEnded,
    LeaseLost,
    LoopFailed,
    StoreFailed,
    StreamDropped,
    SubmissionRefused,
)
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, FINAL_JOB_STATES
from dispatcher.core.model import DeliveryState, JobType
from dispatcher.core.outcome import JobOutcome
from dispatcher.core.quotas import RATE, Full

DEFAULT_QUEUE: Final = JobType(name="", runner="").queue
STALE: Final = "stale"

# `attempt_failed` for `AttemptFailed`: label values in the way of Prometheus.
JOB_OUTCOMES: Final[dict[str, str]] = {
    each.__name__: "".join(f"_{c.lower()}" if c.isupper() else c for c in each.__name__).lstrip("_")
    for each in get_args(JobOutcome)
}
DELIVERY_OUTCOMES: Final[dict[DeliveryState, str]] = {
    DeliveryState.PENDING: "retried",
    **{state: state.value for state in sorted(FINAL_DELIVERY_STATES)},
}
# How an attempt to deliver came out: the class of the answer's status, or why there is none.
_STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
_NOT_SENT: Final = ("timeout", "dns", "connect", "tls", "closed", "bad-answer")
REFUSED: Final = "refused"
LIMITS: Final = (RATE, *(full.value for full in Full))
RESULTS: Final = (*_STATUS_CLASSES, *_NOT_SENT, REFUSED)


class Metrics(Collector):
    """Implements `ports.observer.Observer`, and is told of commits.

    Args:
        types: the declared types of jobs. Jobs of others, and the queues that no type declares, are
            counted together as `_other`: callers must not be able to make series without end.
        version: of the service.
    """

    def __init__(self, types: Iterable[JobType], *, version: str) -> None:
        declared = list(types)
        names = [*sorted({kind.name for kind in declared}), OTHER]
        self.queues = tuple(sorted({DEFAULT_QUEUE, *(kind.queue for kind in declared)}))
        self._version = version
        self._types = {name: name for name in names}
        one_of = [(name,) for name in names]

        self._accepted = Count(series.JOBS_ACCEPTED, one_of)
        self._replayed = Count(series.JOBS_REPLAYED)
        ends = sorted(FINAL_JOB_STATES)
        self._refused = Count(series.SUBMISSIONS_REFUSED, [(limit,) for limit in LIMITS])
        self._ended = Count(series.JOBS_ENDED, [(n, end.value) for n in names for end in ends])
        outcomes = [*JOB_OUTCOMES.values(), STALE, OTHER]
        self._attempts = Count(series.JOB_ATTEMPTS, [(n, out) for n in names for out in outcomes])
        self._attempt_seconds = Spreads(series.JOB_ATTEMPT_SECONDS, one_of)
        self._wait_seconds = Spreads(series.JOB_WAIT_SECONDS, one_of)
        self._deliveries = Count(
            series.DELIVERIES, [(out,) for out in (*DELIVERY_OUTCOMES.values(), STALE)]
        )
        self._endpoints = Count(
            series.ENDPOINTS_DISABLED, [(reason.value,) for reason in DisabledReason]
        )
        self._send_seconds = Spreads(series.DELIVERY_ATTEMPT_SECONDS, [(r,) for r in RESULTS])
        self._delivery_wait = Spreads(series.DELIVERY_WAIT_SECONDS)
        self._streams_dropped = Count(series.STREAMS_DROPPED)
        self._commits = Spreads(series.COMMIT_SECONDS)
        self._batches = Spreads(series.BATCH_ITEMS)
        self._commits_failed = Count(series.COMMITS_FAILED)
        self._store_failures = Words(series.STORE_FAILURES)
        self._leases_lost = Count(series.LEASES_LOST)
        self._loop_failures = Words(series.LOOP_FAILURES)

        self._waited: Spread = self._delivery_wait.cells[()]
        self._commit: Spread = self._commits.cells[()]
        self._batch: Spread = self._batches.cells[()]
        self._take: dict[type, Callable[[Any], None]] = {
            JobAccepted: self._job_accepted,
            JobAttemptEnded: self._job_attempt_ended,
            JobEnded: self._job_ended,
            SubmissionRefused: self._submission_refused,
            DeliveryAttemptEnded: self._delivery_attempt_ended,
            DeliverySwept: self._delivery_swept,
            StreamDropped: self._stream_dropped,
            EndpointSwitched: self._endpoint_switched,
            LeaseLost: self._lease_lost,
            StoreFailed: self._store_failed,
            LoopFailed: self._loop_failed,
        }

    # --- what happens --------------------------------------------------------------------------

    def saw(self, fact: Fact) -> None:
        """See `Observer.saw`. On the event loop alone: only there are these tallies written."""
        take = self._take.get(type(fact))
        if take is not None:
            take(fact)

    def committed(self, seconds: float, items: int, *, failed: bool) -> None:
        """A commit has come out. In the thread that commits: only there are these written."""
        if failed:
            self._commits_failed.cells[()] += 1
        else:
            self._commit.add(seconds)
            self._batch.add(items)

    def _job_accepted(self, fact: JobAccepted) -> None:
        if fact.replayed:
            self._replayed.cells[()] += 1
        else:
            self._accepted.cells[(self._types.get(fact.job.type, OTHER),)] += 1

    def _job_attempt_ended(self, fact: JobAttemptEnded) -> None:
        name = self._types.get(fact.job.type, OTHER)
        outcome = STALE if fact.stale else JOB_OUTCOMES.get(fact.outcome, OTHER)
        self._attempts.cells[name, outcome] += 1
        self._attempt_seconds.cells[(name,)].add(fact.duration_ms / 1000)
        self._wait_seconds.cells[(name,)].add(fact.waited_ms / 1000)

    def _job_ended(self, fact: JobEnded) -> None:
        self._ended.cells[self._types.get(fact.job.type, OTHER), fact.to._value_] += 1

    def _delivery_attempt_ended(self, fact: DeliveryAttemptEnded) -> None:
        outcome = STALE if fact.stale else DELIVERY_OUTCOMES[fact.to]
        self._deliveries.cells[(outcome,)] += 1
        self._send_seconds.cells[(result_of(fact),)].add(fact.duration_ms / 1000)
        self._waited.add(fact.waited_ms / 1000)

    def _delivery_swept(self, fact: DeliverySwept) -> None:
        self._deliveries.cells[(DELIVERY_OUTCOMES[fact.to],)] += 1

    def _stream_dropped(self, _: StreamDropped) -> None:
        self._streams_dropped.cells[()] += 1

    def _submission_refused(self, fact: SubmissionRefused) -> None:
        self._refused.cells[(fact.limit,)] += 1

    def _endpoint_switched(self, fact: EndpointSwitched) -> None:
        reason = fact.endpoint.disabled_reason
        if reason is not None:
            self._endpoints.cells[(reason.value,)] += 1

    def _lease_lost(self, _: LeaseLost) -> None:
        self._leases_lost.cells[()] += 1

    def _store_failed(self, fact: StoreFailed) -> None:
        self._store_failures.add(_what(fact.during))

    def _loop_failed(self, fact: LoopFailed) -> None:
        self._loop_failures.add(_what(fact.loop))

    # --- what is read --------------------------------------------------------------------------

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry."""
        return empty(each.series for each in self._tallies())

    def collect(self) -> Iterator[Metric]:
        """Every series with its values, as Prometheus' registry asks for them."""
        for each in self._tallies():
            yield each.family()
        labels = (self._version, python_version())
        yield gauge(series.BUILD_INFO, [(labels, 1)])

    def _tallies(self) -> tuple[Count | Spreads, ...]:
        return (
            self._accepted,
            self._replayed,
            self._refused,
            self._ended,
            self._attempts,
            self._attempt_seconds,
            self._wait_seconds,
            self._deliveries,
            self._endpoints,
            self._send_seconds,
            self._delivery_wait,
            self._streams_dropped,
            self._commits,
            self._batches,
            self._commits_failed,
            self._store_failures.count,
            self._leases_lost,
            self._loop_failures.count,
        )


def _what(words: str) -> str:
    """The first word: what follows, as in "job job_…" and "signing for clr_…", is no label."""
    return words.partition(" ")[0]


def result_of(fact: DeliveryAttemptEnded) -> str:
    """The class of an attempt: that of the status if an answer came, else what kept it away.

    `NotSent` has the words in `_NOT_SENT`; a policy that refuses has a word a rule, all `refused`.
    """
    if fact.error_code in _NOT_SENT:
        return fact.error_code
    if fact.status_code is None:
        return REFUSED
    return _STATUS_CLASSES[min(max(fact.status_code // 100, 1), 5) - 1]
