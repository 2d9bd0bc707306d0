"""What the benchmark makes of what it saw."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from standardwebhooks import Webhook

from scripts.benchmark.__main__ import arguments, as_asked
from scripts.benchmark.against import Pair, compare, order_of_round, other_tree
from scripts.benchmark.figures import Around, Figures, figures, verified
from scripts.benchmark.generator import Measured
from scripts.benchmark.postgres import HELD, doubts
from scripts.benchmark.receiver import Findings, Sample
from scripts.benchmark.report import limit_of
from scripts.benchmark.run import order_of_goods
from scripts.benchmark.scenario import SCENARIOS, Scenario
from scripts.benchmark.terms import BenchmarkFailed, Terms

SCENARIO = Scenario(name="a", says="")
SEEN = Measured(
    begin_at=10.0,
    end_at=12.0,
    sent_at=[9.0, 10.0, 11.0, 11.5],
    answered_at=[9.1, 10.2, 11.4, 0.0],
    accepted=[True, True, True, False],
    refused=1,
    first_refusal="503",
    undrained=0,
    cpu_seconds={"service": 0.5},
)


def test_a_callback_that_came_an_hour_ago_is_verified_as_one_of_now() -> None:
    """A measurement may take longer than the verifier of the library allows."""
    secret, body = "whsec_" + "A" * 32, '{"n": 1}'
    signature = Webhook(secret).sign("evt_1", datetime.fromtimestamp(1_700_000_000, UTC), body)
    head = "POST /\r\nWebhook-Id: evt_1\r\nWebhook-Timestamp: 1700000000\r\nWebhook-Signature: "
    found = Findings([], 0, [Sample(f"{head}v1a,x {signature}", body)], [])
    assert verified(found, secret) == 1
    forged = Findings([], 0, [Sample(f"{head}{signature}", body.replace("1", "2"))], [])
    with pytest.raises(BenchmarkFailed, match="evt_1 is not signed"):
        verified(forged, secret)


def test_figures_are_of_the_window_but_losses_of_all() -> None:
    found = Findings([10.5, 11.0, 0.0], duplicates=1, samples=[], after_handler=[0.002])
    sums = figures(SCENARIO, SEEN, found, Around())
    assert sums.jobs_per_second == 1.0  # two came in two seconds
    assert sums.answer_p50_ms == pytest.approx(400)
    assert sums.callback_p50_ms == pytest.approx(1_000)  # of the one in the window that came
    assert sums.after_handler_p50_ms == pytest.approx(2)
    assert sums.service_cpu_us_per_job == 250_000
    assert (sums.accepted, sums.lost, sums.refused, sums.duplicates) == (3, 1, 1, 1)
    assert sums.cpu_share == {"service": 0.25}


def test_without_callbacks_answers_are_counted() -> None:
    sums = figures(SCENARIO, SEEN, None, Around())
    assert sums.jobs_per_second == 1.0
    assert (sums.callback_p50_ms, sums.lost) == (None, 0)


def figures_of(rate: float, cpu: float | None) -> Figures:
    sums = figures(SCENARIO, SEEN, None, Around())
    return msgspec.structs.replace(sums, jobs_per_second=rate, service_cpu_us_per_job=cpu)


def test_two_checkouts_are_compared_round_by_round() -> None:
    pairs = [
        Pair(figures_of(100, 50), figures_of(50, 100)),
        Pair(figures_of(300, 50), figures_of(300, None)),
        Pair(figures_of(50, 50), figures_of(100, 100)),
    ]
    found = {each.measure: each for each in compare(pairs)}
    rate = found["jobs/s"]
    assert (rate.this, rate.other) == (100, 100)
    assert (rate.lowest, rate.ratio, rate.highest) == (0.5, 1.0, 2.0)
    assert found["CPU us/job"].ratio == 0.5  # the round without a figure is left out
    assert "callback p50 ms" not in found


def test_each_checkout_comes_first_in_every_other_round() -> None:
    terms = Terms(Path("f"), 1, 1, 1, "warning")
    tree = Path("other")
    turns = [order_of_round(terms, tree, number) for number in range(2)]
    assert [[name for name, _ in turn] for turn in turns] == [["this", "other"], ["other", "this"]]
    assert {name: each.tree for name, each in turns[0]} == {"this": None, "other": tree}
    assert len({each.folder for turn in turns for _, each in turn}) == 4


def test_a_server_that_would_flatter_or_belittle_is_told() -> None:
    found = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": "2GB",
        HELD: "7 MB",
    }
    assert doubts(found) == []
    assert "fsync is off" in doubts(found | {"fsync": "off"})[0]
    assert "synchronous_commit is local" in doubts(found | {"synchronous_commit": "local"})[0]
    for few in ("128MB", "16MB", "400kB"):
        assert f"shared_buffers is {few}" in doubts(found | {"shared_buffers": few})[0]
    assert "holds 24000 MB" in doubts(found | {HELD: "24000 MB"})[0]


def test_each_process_has_connections_enough_to_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def connections(scenario: Scenario, *options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", *options])
        return as_asked(scenario, arguments()).connections

    plain = Scenario(name="c", says="", connections=64)
    assert connections(plain) == 64
    assert connections(plain, "--processes", "4") == 256
    assert connections(Scenario(name="d", says="", connections=64, processes=2)) == 128
    assert connections(plain, "--processes", "4", "--connections", "10") == 10
    assert connections(Scenario(name="e", says="", connections=1), "--processes", "4") == 1


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="no checkout"):
        other_tree(tmp_path)


def test_a_limit_adds_up_what_the_baselines_cost() -> None:
    scenario = Scenario(name="b", says="", limits=(("exchange", 2.0), ("row", 5.0)))
    assert limit_of(scenario, {"exchange": 1_000, "row": 10_000}) == pytest.approx(400)
    assert limit_of(scenario, {"exchange": 1_000}) is None
    assert limit_of(SCENARIO, {"exchange": 1_000}) is None


def test_limits_name_scenarios_and_names_are_told_apart() -> None:
    names = [each.name for each in SCENARIOS]
    assert len(set(names)) == len(names)
    assert {name for each in SCENARIOS for name, _ in each.limits} <= set(names)


@pytest.mark.parametrize("size", [1_024, 20_000, 1_000_000])
def test_inputs_have_the_size_that_is_asked_for(size: int) -> None:
    assert len(order_of_goods(size)) == size
