"""The reference page of the metrics and the alert rules, compared with the series there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatcher.adapters.metrics.series import SERIES, Series
from tests.fact_samples import FACTS
from tests.metrics_text import Shown
from tests.test_metrics import Service

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"

SELECTOR = re.compile(r"\b((?:dispatcher|process)_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*=\s*"([^"]*)"')
PROMETHEUS_OWN = {"up": {"job", "instance"}}


@pytest.fixture
async def shown() -> Shown:
    return await Service().shown(*FACTS)


def described(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    return f"| `{series.name}` | {series.kind.value} | {labels} | {series.help} |"


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def check_selectors(expression: str, shown: Shown) -> None:
    """Each series that an expression names is on the page, with those labels and values."""
    found = SELECTOR.findall(expression)
    assert found, expression
    for name, matchers in found:
        if name in PROMETHEUS_OWN:
            continue
        assert name in shown.names(), f"{name}: there is no such series"
        for label, value in MATCHER.findall(matchers):
            assert value in shown.label_values(name, label), f"{name}: no {label}={value}"


def test_the_page_lists_every_series_as_it_is() -> None:
    head = "| series | kind | labels | what it tells |\n|---|---|---|---|\n"
    table = head + "\n".join(map(described, SERIES))
    page = PAGE.read_text("utf-8")
    assert table in page, f"docs/reference/metrics.md must hold this table:\n{table}"


def test_the_page_lists_the_values_of_every_label(shown: Shown) -> None:
    page = PAGE.read_text("utf-8")
    for name, label in (
        ("dispatcher_jobs_ended_total", "state"),
        ("dispatcher_job_attempts_total", "outcome"),
        ("dispatcher_deliveries_total", "outcome"),
        ("dispatcher_submissions_refused_total", "limit"),
        ("dispatcher_delivery_attempt_seconds_count", "result"),
    ):
        for value in shown.label_values(name, label):
            assert f"`{value}`" in page, f"docs/reference/metrics.md must tell of {value}"
    for label in {label for each in SERIES for label in each.labels}:
        assert f"`{label}`" in page, f"docs/reference/metrics.md must tell of {label}"


def test_what_the_page_asks_can_be_asked(shown: Shown) -> None:
    questions = re.findall(r"```promql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(questions) >= 4
    for question in questions:
        check_selectors(question, shown)


def test_each_alert_is_complete_and_says_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names) >= 6
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["expr"].strip()
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].endswith(".")
        assert len(rule["annotations"]["runbook"]) > 80


def test_each_alert_names_series_that_there_are(shown: Shown) -> None:
    for rule in alerts():
        check_selectors(rule["expr"], shown)


def test_a_summary_speaks_of_labels_that_its_alert_has() -> None:
    for rule in alerts():
        kept = set(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))
        aggregated = re.search(r"\b(sum|max|histogram_quantile)\b", rule["expr"]) is not None
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            named = {name.strip() for group in kept for name in group.split(",")}
            assert label in (named if aggregated else {"instance"}), rule["alert"]


def test_what_the_log_is_said_to_hold_is_there() -> None:
    text = (ROOT / "dispatcher" / "adapters" / "log_events.py").read_text("utf-8")
    for rule in alerts():
        for event in re.findall(r"\b(?:job|delivery|store|loop)\.[a-z]+\b", str(rule)):
            assert f'"{event}"' in text, event
