"""The page that Prometheus reads, made at most once a second, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dispatcher.adapters.metrics import series
from dispatcher.adapters.metrics.observing import Metrics
from dispatcher.adapters.metrics.series import Series
from dispatcher.adapters.metrics.tallies import OTHER, empty, gauge
from dispatcher.core.errors import StoreError
from dispatcher.core.model import Instant
from dispatcher.ports.readers import BacklogReader
from dispatcher.ports.system import Clock
from dispatcher.ports.views import Backlog, QueueBacklog

PAGE_SECONDS: Final = 1.0
"""How long a page is given out again."""

BACKLOG_SECONDS: Final = 5.0
"""How long what the store told of its backlog is believed."""

MOST_COUNTED: Final = 100_000
"""A count of what waits ends here: 100,000 stands for so many or more."""


class InFlight(Struct, frozen=True):
    """How much is under way in this process, asked when the page is made, and how much may be."""

    count: Callable[[], int]
    limit: int


class MetricsPage(Collector):
    """Makes the page, of a registry of its own."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(
        self,
        metrics: Metrics,
        store: BacklogReader,
        *,
        jobs: InFlight,
        ending: Callable[[], int],
        deliveries: InFlight,
        held_up: Callable[[], int],
        waits: Callable[[], int],
        streams: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._queues = metrics.queues
        self._store = store
        self._jobs = jobs
        self._ending = ending
        self._deliveries = deliveries
        self._held_up = held_up
        self._waits = waits
        self._streams = streams
        self._clock = clock
        self._making = asyncio.Lock()
        self._page = b""
        self._page_until = float("-inf")
        self._backlog: Backlog | None = None
        self._backlog_until = float("-inf")
        self._registry = CollectorRegistry()
        self._registry.register(metrics)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # memory, CPU, open files; on Linux

    async def make(self) -> bytes:
        """The page, in Prometheus' text format; of a second ago at most."""
        async with self._making:
            if self._clock.monotonic() >= self._page_until:
                await self._look()
                parts = []
                for family in self._registry.collect():
                    parts.append(generate_latest(_Alone(family)))
                    await asyncio.sleep(0)  # a page of many types must not hold up the loop
                self._page = b"".join(parts)
                self._page_until = self._clock.monotonic() + PAGE_SECONDS
        return self._page

    async def _look(self) -> None:
        """Ask the store for its backlog, unless it was asked a moment ago."""
        if self._clock.monotonic() < self._backlog_until:
            return
        try:
            self._backlog = await self._store.backlog(MOST_COUNTED)
        except StoreError:  # its other series tell of it; the page is wanted now more than ever
            self._backlog = None
        self._backlog_until = self._clock.monotonic() + BACKLOG_SECONDS

    # --- for the registry ----------------------------------------------------------------------

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry."""
        return empty(each for each, _ in self._in_flight())

    def collect(self) -> Iterator[Metric]:
        """What is known at this moment."""
        for each, value in self._in_flight():
            yield gauge(each, [((), value)])
        yield gauge(series.BACKLOG_READABLE, [((), float(self._backlog is not None))])
        if self._backlog is not None:
            yield from _of_queues(self._backlog, self._queues)
            yield from _of_deliveries(self._backlog)

    def _in_flight(self) -> list[tuple[Series, int]]:
        return [
            (series.JOBS_IN_FLIGHT, self._jobs.count()),
            (series.JOBS_IN_FLIGHT_LIMIT, self._jobs.limit),
            (series.JOBS_ENDING, self._ending()),
            (series.DELIVERIES_IN_FLIGHT, self._deliveries.count()),
            (series.DELIVERIES_IN_FLIGHT_LIMIT, self._deliveries.limit),
            (series.DELIVERIES_HELD_UP, self._held_up()),
            (series.WAITS_OPEN, self._waits()),
            (series.STREAMS_OPEN, self._streams()),
        ]


class _Alone(Collector):
    """One family by itself, to be written by itself."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _of_queues(backlog: Backlog, known: tuple[str, ...]) -> Iterator[Metric]:
    """The queues that types declare, each, and all others together."""
    found = {each.queue: each for each in backlog.queues}
    others = [each for each in backlog.queues if each.queue not in known]
    shown = [found.get(name) or QueueBacklog(queue=name) for name in known]
    shown.append(
        QueueBacklog(
            queue=OTHER,
            waiting=sum(each.waiting for each in others),
            scheduled=sum(each.scheduled for each in others),
            running=sum(each.running for each in others),
            oldest_due_at=min(
                (each.oldest_due_at for each in others if each.oldest_due_at is not None),
                default=None,
            ),
        )
    )
    yield gauge(series.QUEUE_WAITING, [((each.queue,), each.waiting) for each in shown])
    yield gauge(series.QUEUE_SCHEDULED, [((each.queue,), each.scheduled) for each in shown])
    yield gauge(series.QUEUE_RUNNING, [((each.queue,), each.running) for each in shown])
    yield gauge(
        series.QUEUE_OLDEST_AGE,
        [((each.queue,), _age_seconds(each.oldest_due_at, backlog.at)) for each in shown],
    )


def _of_deliveries(backlog: Backlog) -> Iterator[Metric]:
    there = backlog.deliveries
    age = _age_seconds(there.oldest_due_at, backlog.at)
    yield gauge(series.DELIVERIES_DUE, [((), there.due)])
    yield gauge(series.DELIVERIES_SCHEDULED, [((), there.scheduled)])
    yield gauge(series.DELIVERIES_SENDING, [((), there.sending)])
    yield gauge(series.DELIVERIES_OLDEST_AGE, [((), age)])
    known = backlog.breakers
    counts = {"closed": known.closed, "open": known.open, "half-open": known.half_open}
    yield gauge(series.BREAKERS, [((state,), count) for state, count in counts.items()])


def _age_seconds(since: Instant | None, now: Instant) -> float:
    return 0.0 if since is None else max(now - since, 0) / 1000
