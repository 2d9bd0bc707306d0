"""What is counted of facts and commits, and the page that shows it."""

from __future__ import annotations

import asyncio
import timeit
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dispatcher.adapters.metrics import InFlight, Metrics, MetricsPage
from dispatcher.adapters.metrics.observing import DELIVERY_OUTCOMES, JOB_OUTCOMES, result_of
from dispatcher.adapters.metrics.series import SERIES, Kind
from dispatcher.adapters.metrics.tallies import Spread, Words
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.facts import (
    DeliverySwept,
    Fact,
    JobAccepted,
    JobEnded,
    LeaseLost,
    LoopFailed,
    StoreFailed,
)
from dispatcher.core.model import DeliveryState, JobState
from dispatcher.core.outcome import JobOutcome
from dispatcher.ports.views import Backlog, DeliveryBacklog, QueueBacklog
from dispatcher.testing.clock import ManualClock
from tests.fact_samples import CSV, DELIVERY, ENDED, FACTS, JOB, MAIL, SENT
from tests.metrics_text import Shown


class Backlogs:
    """What a store tells of its backlog, and how often it was asked."""

    def __init__(self, backlog: Backlog) -> None:
        self.backlog_told = backlog
        self.asked = 0
        self.broken = False

    async def backlog(self, most: int) -> Backlog:
        self.asked += 1
        await asyncio.sleep(0)
        if self.broken:
            raise StoreUnavailable("disk full")
        return self.backlog_told


class Service:
    """Metrics with their page, and what they look at."""

    def __init__(self, backlog: Backlog | None = None) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics([CSV, MAIL], version="1.2.3")
        self.store = Backlogs(backlog or Backlog(at=self.clock.now()))
        self.running = 0
        self.page = MetricsPage(
            self.metrics,
            self.store,
            jobs=InFlight(lambda: self.running, 256),
            ending=lambda: 3,
            deliveries=InFlight(lambda: 2, 128),
            held_up=lambda: 5,
            waits=lambda: 3,
            streams=lambda: 4,
            clock=self.clock,
        )

    async def shown(self, *facts: Fact) -> Shown:
        """The page after these facts and enough time for a new one."""
        for fact in facts:
            self.metrics.saw(fact)
        self.clock.advance(10)
        return Shown(await self.page.make())


@pytest.fixture
async def service() -> Service:
    return Service()


# --- Jobs --------------------------------------------------------------------------------------


async def test_jobs_are_counted_by_type_and_end(service: Service) -> None:
    mail = replace(JOB, type="mail.send")
    shown = await service.shown(
        JobAccepted(JOB, handed_off=True),
        JobAccepted(JOB, handed_off=False),
        JobAccepted(mail, handed_off=False),
        JobAccepted(JOB, handed_off=False, replayed=True),
        JobEnded(JOB, JobState.SUCCEEDED),
        JobEnded(JOB, JobState.FAILED),
        JobEnded(mail, JobState.EXPIRED),
    )
    assert shown.value("dispatcher_jobs_accepted_total", type="csv.profile") == 2
    assert shown.value("dispatcher_jobs_accepted_total", type="mail.send") == 1
    assert shown.value("dispatcher_jobs_replayed_total") == 1
    ended = "dispatcher_jobs_ended_total"
    assert shown.value(ended, type="csv.profile", state="succeeded") == 1
    assert shown.value(ended, type="csv.profile", state="failed") == 1
    assert shown.value(ended, type="csv.profile", state="canceled") == 0
    assert shown.value(ended, type="mail.send", state="expired") == 1


async def test_an_attempt_is_counted_and_timed(service: Service) -> None:
    stale = replace(ENDED, stale=True, duration_ms=5_000, waited_ms=0)
    failed = replace(ENDED, outcome="AttemptFailed", to=JobState.WAITING)
    shown = await service.shown(ENDED, failed, stale)
    attempts = "dispatcher_job_attempts_total"
    for outcome in ("succeeded", "attempt_failed", "stale"):
        assert shown.value(attempts, type="csv.profile", outcome=outcome) == 1
    assert shown.value(attempts, type="csv.profile", outcome="given_back") == 0
    seconds = "dispatcher_job_attempt_seconds"
    assert shown.value(f"{seconds}_count", type="csv.profile") == 3
    assert shown.value(f"{seconds}_sum", type="csv.profile") == pytest.approx(5.24)
    assert shown.value(f"{seconds}_bucket", type="csv.profile", le="0.1") == 0
    assert shown.value(f"{seconds}_bucket", type="csv.profile", le="0.25") == 2
    assert shown.value(f"{seconds}_bucket", type="csv.profile", le="5.0") == 3
    assert shown.value("dispatcher_job_wait_seconds_sum", type="csv.profile") == 0.014


async def test_a_type_that_nobody_declared_makes_no_series(service: Service) -> None:
    strange = [replace(JOB, type=f"made.up.{number}") for number in range(100)]
    before = set((await service.shown()).samples)
    shown = await service.shown(
        *(JobAccepted(job, handed_off=False) for job in strange),
        *(JobEnded(job, JobState.EXPIRED) for job in strange),
        *(replace(ENDED, job=job, outcome="Strange") for job in strange),
    )
    assert set(shown.samples) == before
    assert shown.value("dispatcher_jobs_accepted_total", type="_other") == 100
    assert shown.value("dispatcher_jobs_ended_total", type="_other", state="expired") == 100
    assert shown.value("dispatcher_job_attempts_total", type="_other", outcome="_other") == 100


def test_each_outcome_has_its_word() -> None:
    assert JOB_OUTCOMES == {
        "Succeeded": "succeeded",
        "Failed": "failed",
        "AttemptFailed": "attempt_failed",
        "Canceled": "canceled",
        "Snoozed": "snoozed",
        "GivenBack": "given_back",
        "WorkerLost": "worker_lost",
    }
    assert set(JOB_OUTCOMES) == {each.__name__ for each in typing.get_args(JobOutcome)}
    # An attempt never leaves a delivery `sending`.
    assert set(DELIVERY_OUTCOMES) == set(DeliveryState) - {DeliveryState.SENDING}


# --- Deliveries --------------------------------------------------------------------------------


async def test_deliveries_are_counted_by_what_became_of_them(service: Service) -> None:
    retried = replace(SENT, to=DeliveryState.PENDING, status_code=503, error_code="status")
    shown = await service.shown(
        SENT,
        retried,
        retried,
        replace(retried, to=DeliveryState.DEAD),
        replace(SENT, stale=True),
        DeliverySwept(DELIVERY, DeliveryState.DEAD),
        DeliverySwept(DELIVERY, DeliveryState.PENDING),
    )
    outcomes = {"delivered": 1, "retried": 3, "dead": 2, "stale": 1, "canceled": 0}
    for outcome, count in outcomes.items():
        assert shown.value("dispatcher_deliveries_total", outcome=outcome) == count, outcome
    assert shown.value("dispatcher_delivery_attempt_seconds_count", result="2xx") == 2
    assert shown.value("dispatcher_delivery_attempt_seconds_count", result="5xx") == 3
    assert shown.value("dispatcher_delivery_wait_seconds_count") == 5


@pytest.mark.parametrize(
    ("status", "error", "result"),
    [
        (200, None, "2xx"),
        (301, "status", "3xx"),
        (410, "gone", "4xx"),
        (599, "status", "5xx"),
        (999, "status", "5xx"),
        (None, "dns", "dns"),
        (None, "connect", "connect"),
        (None, "tls", "tls"),
        (None, "timeout", "timeout"),
        (200, "timeout", "timeout"),  # the head came, the rest did not
        (200, "closed", "closed"),
        (None, "bad-answer", "bad-answer"),
        (None, "private", "refused"),
        (None, "loopback", "refused"),
    ],
)
def test_an_attempt_has_a_class(status: int | None, error: str | None, result: str) -> None:
    assert result_of(replace(SENT, status_code=status, error_code=error)) == result


# --- The store and the process -----------------------------------------------------------------


async def test_commits_are_timed_and_failures_are_not(service: Service) -> None:
    service.metrics.committed(0.002, 1, failed=False)
    service.metrics.committed(0.008, 20, failed=False)
    service.metrics.committed(1.0, 500, failed=True)
    shown = await service.shown()
    assert shown.value("dispatcher_store_commit_seconds_count") == 2
    assert shown.value("dispatcher_store_commit_seconds_sum") == pytest.approx(0.01)
    assert shown.value("dispatcher_store_batch_items_sum") == 21
    assert shown.value("dispatcher_store_batch_items_bucket", le="1.0") == 1
    assert shown.value("dispatcher_store_commits_failed_total") == 1


async def test_what_went_wrong_is_counted_without_ids(service: Service) -> None:
    shown = await service.shown(
        LeaseLost("hld_1", 3),
        StoreFailed("FinishJob", "disk full"),
        StoreFailed("FinishJob", "disk full"),
        *(StoreFailed(f"signing for clr_{number}", "other key") for number in range(50)),
        LoopFailed("sweep", "KeyError", ""),
        *(LoopFailed(f"job job_{number}", "KeyError", "") for number in range(50)),
    )
    assert shown.value("dispatcher_leases_lost_total") == 1
    assert shown.value("dispatcher_store_failures_total", during="FinishJob") == 2
    assert shown.value("dispatcher_store_failures_total", during="signing") == 50
    assert shown.value("dispatcher_loop_failures_total", loop="sweep") == 1
    assert shown.value("dispatcher_loop_failures_total", loop="job") == 50


def test_words_without_end_are_counted_together() -> None:
    (series,) = (each for each in SERIES if each.labels == ("loop",))
    words = Words(series)
    for number in range(100):
        words.add(f"word {number}")
        words.add("word 0")
    assert len(words.count.cells) == Words.MOST + 1
    assert words.count.cells["word 0",] == 101
    assert words.count.cells["_other",] == 100 - Words.MOST


async def test_the_page_says_what_runs(service: Service) -> None:
    service.running = 7
    shown = await service.shown()
    assert shown.value("dispatcher_jobs_in_flight") == 7
    assert shown.value("dispatcher_jobs_in_flight_limit") == 256
    assert shown.value("dispatcher_jobs_ending") == 3
    assert shown.value("dispatcher_deliveries_in_flight") == 2
    assert shown.value("dispatcher_deliveries_in_flight_limit") == 128
    assert shown.value("dispatcher_deliveries_held_up") == 5
    assert shown.label_values("dispatcher_build_info", "version") == {"1.2.3"}


# --- The backlog -------------------------------------------------------------------------------

NOON = ManualClock().now()
BACKLOG = Backlog(
    at=NOON,
    queues=(
        QueueBacklog(queue="a.callers.own", waiting=3, running=1, oldest_due_at=NOON - 500),
        QueueBacklog(queue="another", waiting=4, scheduled=2, oldest_due_at=NOON - 90_000),
        QueueBacklog(queue="files", waiting=5, scheduled=6, running=7, oldest_due_at=NOON - 2_500),
    ),
    deliveries=DeliveryBacklog(due=8, scheduled=9, sending=10, oldest_due_at=NOON - 60_000),
)


async def test_the_backlog_is_shown_by_declared_queue(service: Service) -> None:
    service.store.backlog_told = BACKLOG
    shown = await service.shown()
    waiting = "dispatcher_queue_waiting"
    assert shown.label_values(waiting, "queue") == {"files", "default", "_other"}
    assert shown.value(waiting, queue="files") == 5
    assert shown.value("dispatcher_queue_scheduled", queue="files") == 6
    assert shown.value("dispatcher_queue_running", queue="files") == 7
    assert shown.value("dispatcher_queue_oldest_age_seconds", queue="files") == 2.5
    assert shown.value(waiting, queue="default") == 0
    assert shown.value("dispatcher_queue_oldest_age_seconds", queue="default") == 0
    assert shown.value(waiting, queue="_other") == 7
    assert shown.value("dispatcher_queue_oldest_age_seconds", queue="_other") == 90
    assert shown.value("dispatcher_deliveries_due") == 8
    assert shown.value("dispatcher_deliveries_scheduled") == 9
    assert shown.value("dispatcher_deliveries_sending") == 10
    assert shown.value("dispatcher_deliveries_oldest_age_seconds") == 60
    assert shown.value("dispatcher_backlog_readable") == 1


async def test_a_store_that_fails_leaves_the_rest_of_the_page(service: Service) -> None:
    service.store.broken = True
    shown = await service.shown(JobAccepted(JOB, handed_off=False))
    assert shown.value("dispatcher_backlog_readable") == 0
    assert not shown.has("dispatcher_queue_waiting")
    assert not shown.has("dispatcher_deliveries_due")
    assert shown.value("dispatcher_jobs_accepted_total", type="csv.profile") == 1
    service.store.broken = False
    assert (await service.shown()).value("dispatcher_backlog_readable") == 1


async def test_scraping_never_loads_the_store(service: Service) -> None:
    pages = await asyncio.gather(*(service.page.make() for _ in range(50)))
    assert len(set(pages)) == 1
    assert service.store.asked == 1
    for _ in range(4):
        service.clock.advance(1.0)
        await service.page.make()
    assert service.store.asked == 1
    service.clock.advance(1.0)
    await service.page.make()
    assert service.store.asked == 2


async def test_a_page_is_made_once_a_second(service: Service) -> None:
    first = await service.page.make()
    service.metrics.saw(LeaseLost("hld_1", 3))
    service.clock.advance(0.9)
    assert await service.page.make() == first
    service.clock.advance(0.1)
    assert Shown(await service.page.make()).value("dispatcher_leases_lost_total") == 1


# --- All of it ---------------------------------------------------------------------------------


async def test_the_page_has_every_series_as_declared_and_no_other(service: Service) -> None:
    shown = await service.shown(*FACTS)
    ours = {f.name: f for f in shown.families if not f.name.startswith("process_")}
    declared = {each.name.removesuffix("_total"): each for each in SERIES}
    assert set(ours) == set(declared)
    for name, series in declared.items():
        family = ours[name]
        assert family.type == series.kind.value, name
        assert family.documentation == series.help, name
        labels = {key for sample in family.samples for key in sample.labels} - {"le"}
        assert labels == set(series.labels), name
    for never in ("secret", "hunter2", "receiver", "job_1", "dlv_1"):
        assert never not in str(shown.samples)


async def test_two_services_in_one_process_share_nothing() -> None:
    one, two = Service(), Service()
    shown = await one.shown(LeaseLost("hld_1", 3))
    assert shown.value("dispatcher_leases_lost_total") == 1
    assert (await two.shown()).value("dispatcher_leases_lost_total") == 0


def test_every_fact_is_taken() -> None:
    metrics = Metrics([CSV], version="1")
    kinds = {type(fact) for fact in FACTS}
    assert kinds == set(typing.get_args(Fact))
    for fact in FACTS:
        metrics.saw(fact)


def test_names_follow_the_conventions() -> None:
    assert len({each.name for each in SERIES}) == len(SERIES)
    for each in SERIES:
        assert each.name.startswith("dispatcher_"), each.name
        assert each.name.endswith("_total") == (each.kind is Kind.COUNTER), each.name
        assert bool(each.bounds) == (each.kind is Kind.HISTOGRAM), each.name
        assert list(each.bounds) == sorted(set(each.bounds)), each.name
        assert each.help.endswith("."), each.name


BOUNDS = (0.1, 1.0, 10.0)


@given(st.lists(st.floats(0, 100) | st.sampled_from(BOUNDS)))
def test_a_bucket_counts_what_is_not_above_its_bound(values: list[float]) -> None:
    spread = Spread(BOUNDS)
    for value in values:
        spread.add(value)
    expected = [(repr(bound), sum(value <= bound for value in values)) for bound in BOUNDS]
    assert spread.buckets() == [*expected, ("+Inf", len(values))]
    assert spread.sum == pytest.approx(sum(values))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_costs_little(fact: Fact) -> None:
    """Under a microsecond on a quiet machine; the bound leaves room for a busy one."""
    metrics = Metrics([CSV, MAIL], version="1")
    best = min(timeit.repeat(lambda: metrics.saw(fact), number=1_000, repeat=20)) / 1_000
    assert best < 3e-6
