"""Where numbers are kept between two looks at them.

Prometheus' own counters take a lock for each number; a fact here has several, and many thousand
come in a second. Each tally has one thread that writes to it and is read from any other: a number
is never seen half written, and what is read a moment too early is there the next time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from dispatcher.adapters.metrics.series import Kind, Series

Labels: TypeAlias = tuple[str, ...]

OTHER: Final = "_other"
"""What stands for a label's value past those that are known: no declared name begins like it."""


class Count:
    """A counter with a cell for each combination of its labels' values.

    The cells in `known` are there from the start, so that the first event of a kind is a rise from
    0 and not a series that appears.
    """

    def __init__(self, series: Series, known: Iterable[Labels] = ((),)) -> None:
        self.series = series
        self.cells: dict[Labels, int] = dict.fromkeys(known, 0)

    def family(self) -> Metric:
        """What Prometheus reads."""
        family = CounterMetricFamily(self.series.name, self.series.help, labels=self.series.labels)
        for labels, count in list(self.cells.items()):
            family.add_metric(labels, count)
        return family


class Words:
    """A counter by one label, whose values are words of our own code, not listed anywhere.

    There are few; past `MOST` the rest are counted together, whatever a defect makes of them.
    """

    MOST: Final = 32

    def __init__(self, series: Series) -> None:
        self.count = Count(series, ())

    def add(self, word: str) -> None:
        """Count one."""
        cells = self.count.cells
        key = (word,)
        if key not in cells and len(cells) >= self.MOST:
            key = (OTHER,)
        cells[key] = cells.get(key, 0) + 1


class Spread:
    """One histogram: how many values fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Take a value in; one that equals a bound falls below it (`le`)."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with how many values are not above it, as Prometheus writes them."""
        counts = self._counts.copy()
        found, total = [], 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found

    @property
    def sum(self) -> float:
        """All values together."""
        return self._sum


class Spreads:
    """A histogram with a cell for each combination of its labels' values."""

    def __init__(self, series: Series, known: Iterable[Labels] = ((),)) -> None:
        self.series = series
        self.cells = {labels: Spread(series.bounds) for labels in known}

    def family(self) -> Metric:
        """What Prometheus reads."""
        family = HistogramMetricFamily(
            self.series.name, self.series.help, labels=self.series.labels
        )
        for labels, cell in self.cells.items():
            family.add_metric(labels, cell.buckets(), cell.sum)
        return family


def gauge(series: Series, values: Iterable[tuple[Labels, float]]) -> Metric:
    """What Prometheus reads of values that are known at this moment."""
    family = GaugeMetricFamily(series.name, series.help, labels=series.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def empty(series: Iterable[Series]) -> Iterator[Metric]:
    """The series without values: for a registry, which refuses two of one name."""
    kinds = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }
    for each in series:
        yield kinds[each.kind](each.name, each.help, labels=each.labels)
