"""Every series by name: its kind, help, labels, and the buckets of a histogram.

Names follow https://prometheus.io/docs/practices/naming: one prefix, base units, `_total` for what
only grows. Labels have few values: types and queues as they are declared, and words of our own.
Never a caller, a URL or an id.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Kind(StrEnum):
    """The kinds of series, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Series(Struct, frozen=True):
    """One series. `bounds` are the upper bounds of a histogram's buckets, +Inf left out."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str) -> Series:
    return Series(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Series:
    return Series(name, Kind.GAUGE, text, labels)


# From a handler that returns at once to one that takes an hour.
_JOB_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
# From a hand-off, which waits for nothing, to a backlog of hours.
_WAIT_SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
# Up to the deadline of an attempt, 15 s unless it is set to more.
_SEND_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
# From an SSD with a cache to a disk that is in trouble.
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_BATCH_ITEMS: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)

# --- Jobs --------------------------------------------------------------------------------------

JOBS_ACCEPTED: Final = _counter(
    "dispatcher_jobs_accepted_total", "Jobs that were committed and answered with a 202.", "type"
)
SUBMISSIONS_REFUSED: Final = _counter(
    "dispatcher_submissions_refused_total",
    "Submissions that a limit kept out: of their caller's rate, of what may wait, of the queue.",
    "limit",
)
JOBS_REPLAYED: Final = _counter(
    "dispatcher_jobs_replayed_total",
    "Submissions that were answered with the job that their idempotency key had made before.",
)
JOBS_ENDED: Final = _counter(
    "dispatcher_jobs_ended_total", "Jobs that reached a final state, however.", "type", "state"
)
JOB_ATTEMPTS: Final = _counter(
    "dispatcher_job_attempts_total",
    "Attempts at jobs that came out here; stale: the lease had been lost, nothing was changed.",
    "type",
    "outcome",
)
JOB_ATTEMPT_SECONDS: Final = Series(
    "dispatcher_job_attempt_seconds",
    Kind.HISTOGRAM,
    "How long an attempt at a job took.",
    ("type",),
    _JOB_SECONDS,
)
JOB_WAIT_SECONDS: Final = Series(
    "dispatcher_job_wait_seconds",
    Kind.HISTOGRAM,
    "From when a job was due until its attempt began.",
    ("type",),
    _WAIT_SECONDS,
)
JOBS_IN_FLIGHT: Final = _gauge(
    "dispatcher_jobs_in_flight",
    "Attempts at jobs that have a place here (of jobs_at_once); at its limit, no more begin.",
)
JOBS_IN_FLIGHT_LIMIT: Final = _gauge(
    "dispatcher_jobs_in_flight_limit", "How many there may be (jobs_at_once)."
)
JOBS_ENDING: Final = _gauge(
    "dispatcher_jobs_ending",
    "Attempts that have left their place to others and whose end is being written; many, for"
    " long: the store is slow.",
)

# --- Queues, as the store sees them ------------------------------------------------------------

QUEUE_WAITING: Final = _gauge(
    "dispatcher_queue_waiting", "Jobs that are due and wait to be run.", "queue"
)
QUEUE_SCHEDULED: Final = _gauge(
    "dispatcher_queue_scheduled", "Jobs that wait for their time, retries included.", "queue"
)
QUEUE_RUNNING: Final = _gauge("dispatcher_queue_running", "Jobs that run, in any process.", "queue")
QUEUE_OLDEST_AGE: Final = _gauge(
    "dispatcher_queue_oldest_age_seconds",
    "How long the job that has waited longest has been due; 0 if none is.",
    "queue",
)

# --- Deliveries --------------------------------------------------------------------------------

DELIVERIES: Final = _counter(
    "dispatcher_deliveries_total",
    "What became of deliveries: retried is an attempt that failed and will be made again; stale: "
    "the lease had been lost, nothing was changed.",
    "outcome",
)
DELIVERY_ATTEMPT_SECONDS: Final = Series(
    "dispatcher_delivery_attempt_seconds",
    Kind.HISTOGRAM,
    "How long an attempt to deliver took, by the class of its answer or by what kept it from one.",
    ("result",),
    _SEND_SECONDS,
)
DELIVERY_WAIT_SECONDS: Final = Series(
    "dispatcher_delivery_wait_seconds",
    Kind.HISTOGRAM,
    "From when a delivery was due until its attempt began.",
    (),
    _WAIT_SECONDS,
)
ENDPOINTS_DISABLED: Final = _counter(
    "dispatcher_endpoints_disabled_total",
    "Registered endpoints that were disabled: by a 410 (gone), by failing for too long, by hand.",
    "reason",
)
DELIVERIES_IN_FLIGHT: Final = _gauge(
    "dispatcher_deliveries_in_flight", "Attempts to deliver under way here."
)
DELIVERIES_IN_FLIGHT_LIMIT: Final = _gauge(
    "dispatcher_deliveries_in_flight_limit", "How many there may be (deliveries_at_once)."
)
DELIVERIES_HELD_UP: Final = _gauge(
    "dispatcher_deliveries_held_up",
    "Places for deliveries that wait a second, since this machine had nothing to send with: no open"
    " file, say.",
)
DELIVERIES_DUE: Final = _gauge(
    "dispatcher_deliveries_due", "Deliveries that are due and wait to be sent."
)
DELIVERIES_SCHEDULED: Final = _gauge(
    "dispatcher_deliveries_scheduled", "Deliveries that wait for their next attempt."
)
DELIVERIES_SENDING: Final = _gauge(
    "dispatcher_deliveries_sending", "Deliveries that are being sent, by any process."
)
DELIVERIES_OLDEST_AGE: Final = _gauge(
    "dispatcher_deliveries_oldest_age_seconds",
    "How long the delivery that has waited longest has been due; 0 if none is.",
)

BREAKERS: Final = _gauge(
    "dispatcher_breakers",
    "Breakers of destinations and of URLs that failed lately, by state; nothing is sent to an open "
    "one.",
    "state",
)

# --- Those who wait and listen -----------------------------------------------------------------

WAITS_OPEN: Final = _gauge(
    "dispatcher_waits_open", "Requests that wait for something to happen (Prefer: wait=N)."
)
STREAMS_OPEN: Final = _gauge("dispatcher_streams_open", "Streams of events that are open (SSE).")
STREAMS_DROPPED: Final = _counter(
    "dispatcher_streams_dropped_total",
    "Streams that the service ended because their reader did not take what was sent.",
)

# --- The store and the process -----------------------------------------------------------------

COMMIT_SECONDS: Final = Series(
    "dispatcher_store_commit_seconds",
    Kind.HISTOGRAM,
    "How long a commit took, from its first statement until it was safe on disk.",
    (),
    _COMMIT_SECONDS,
)
BATCH_ITEMS: Final = Series(
    "dispatcher_store_batch_items",
    Kind.HISTOGRAM,
    "How many changes went into a commit.",
    (),
    _BATCH_ITEMS,
)
COMMITS_FAILED: Final = _counter(
    "dispatcher_store_commits_failed_total",
    "Commits that failed for all that was in them: a full disk, a locked or damaged database.",
)
STORE_FAILURES: Final = _counter(
    "dispatcher_store_failures_total",
    "How often work began to fail for the store, by what was being done; each try counts in "
    "dispatcher_store_commits_failed_total.",
    "during",
)
BACKLOG_READABLE: Final = _gauge(
    "dispatcher_backlog_readable",
    "1 if the store could tell its backlog; else 0, and the series that come from it are missing.",
)
LEASES_LOST: Final = _counter(
    "dispatcher_leases_lost_total",
    "How often this process could not renew its lease in time, and stopped the jobs that it ran.",
)
LOOP_FAILURES: Final = _counter(
    "dispatcher_loop_failures_total",
    "Defects of the service that a background loop, a job or a delivery ran into.",
    "loop",
)
BUILD_INFO: Final = _gauge(
    "dispatcher_build_info", "Always 1; the labels say what runs.", "version", "python"
)

SERIES: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Series))
"""All of them, in the order of the page."""
