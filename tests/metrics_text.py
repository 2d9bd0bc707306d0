"""Reading the text format of Prometheus, as far as tests ask."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families


class Shown:
    """A page: `value` of one sample, all `samples` as written."""

    def __init__(self, page: bytes) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(page.decode()))
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def has(self, name: str) -> bool:
        return any(sample == name for sample, _ in self.samples)

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}

    def label_values(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for sample, labels in self.samples if sample == name}
