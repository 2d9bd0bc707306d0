"""What the ledger of `scripts/crash` and `scripts/failover` finds wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from scripts.outside.api import Api
from scripts.outside.crash_app import FILE, noted
from scripts.outside.feed import Feed, faults_of
from scripts.outside.ledger import Ledger, recorded
from scripts.outside.runs import STOP_SECONDS, Halt, Run, overlaps, read_runs


def run(began: float, ended: float | None, *, attempt: int = 1, node: str = "a") -> Run:
    return Run(job_id="job_1", attempt=attempt, node=node, began=began, ended=ended)


class TestRuns:
    def test_one_after_another_is_fine(self) -> None:
        other = Run(job_id="job_2", attempt=1, node="b", began=1.5, ended=9.0)
        runs = [run(3.0, 4.0, attempt=2, node="b"), run(1.0, 3.0), other]
        assert overlaps(runs, {}, []) == []

    def test_two_at_once_are_told(self) -> None:
        ledger = Ledger(1)
        ledger.reckon_runs([run(1.0, 3.0), run(2.5, 4.0, attempt=2, node="b")], {}, [])
        (fault,) = ledger.faults
        assert fault == (
            "job_1: attempt 2 began on b at 2.500, 0.500 s before attempt 1 (of 1.000) ended on a"
        )

    def test_a_long_one_is_held_against_all_that_begin_within_it(self) -> None:
        runs = [run(1.0, 9.0), run(2.0, 3.0, attempt=2), run(4.0, 5.0, attempt=3)]
        assert len(overlaps(runs, {}, [])) == 2

    def test_one_without_an_end_ended_when_its_node_died(self) -> None:
        runs = [run(2.0, None), run(3.0, 4.0, attempt=2, node="b")]
        deaths = {"a": [1.0, 2.9, 7.0], "b": [3.5]}
        assert overlaps(runs, deaths, []) == []
        assert len(overlaps(runs, {"a": [1.0, 3.1]}, [])) == 1
        assert len(overlaps(runs, {}, [])) == 1  # nobody killed it: it runs

    def test_one_that_stood_still_ended_there_if_it_stops_soon(self) -> None:
        halt = Halt("a", 2.0, 8.0)
        again = run(6.0, 6.5, attempt=2, node="b")
        assert overlaps([run(1.0, 8.0 + STOP_SECONDS), again], {}, [halt]) == []
        assert len(overlaps([run(1.0, 8.1 + STOP_SECONDS), again], {}, [halt])) == 1
        assert len(overlaps([run(1.0, 8.1), again], {}, [Halt("b", 2.0, 8.0)])) == 1
        early = run(1.5, 1.8, attempt=2, node="b")  # before it stood still
        assert len(overlaps([run(1.0, 8.1), early], {}, [halt])) == 1

    def test_what_handlers_note_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "node-1.runs"
        monkeypatch.setenv(FILE, str(file))
        job: Any = type("Job", (), {"id": "job_1", "attempt": 2})
        with noted(job):
            (under_way,) = read_runs([file, tmp_path / "nothing.runs"])
            assert under_way.ended is None
        (done,) = read_runs([file])
        assert (done.job_id, done.attempt, done.node) == ("job_1", 2, "node-1")
        assert done.ended is not None
        assert done.began == under_way.began <= done.ended


def event(number: int | None, type_: str = "job.output", job: str = "job_1") -> dict[str, Any]:
    return {
        "id": f"evt_{job}_{number}",
        "type": type_,
        "sequence": number,
        "data": {"id": job},
    }


def feed(*events: dict[str, Any], gap: bool = False) -> Feed:
    made = Feed()
    for each in events:
        made.read({"items": [each], "nextCursor": f"after {each['id']}", "gap": False})
    made.read({"items": [], "nextCursor": made.cursor, "gap": gap})
    return made


ONE, TWO = event(1), event(2, "job.succeeded")
OTHER = event(1, "job.failed", "job_2")
JOBS = {"job_1": {"status": "succeeded"}, "job_2": {"status": "failed"}}


class TestTheFeed:
    def test_two_readers_who_saw_the_same_are_fine(self) -> None:
        ping = event(None, "ping")
        assert faults_of(feed(ONE, OTHER, ping, TWO), feed(ONE, OTHER, ping, TWO), JOBS) == []

    def test_where_to_read_on(self) -> None:
        assert Feed().path == "/v1/events?limit=100"
        assert feed(ONE).path == f"/v1/events?limit=100&cursor=after {ONE['id']}"

    @pytest.mark.parametrize(
        ("followed", "again", "said"),
        [
            (feed(ONE, TWO), feed(ONE, OTHER, TWO), "evt_job_2_1, and passed its follower by"),
            (feed(ONE, OTHER, TWO), feed(ONE, TWO), "evt_job_2_1 was in the feed once"),
            (feed(ONE, OTHER, TWO, ONE), feed(ONE, OTHER, TWO), "evt_job_1_1 came 2 times"),
            (feed(OTHER, ONE, TWO), feed(ONE, OTHER, TWO), "another order"),
            (feed(ONE, OTHER, TWO, gap=True), feed(ONE, OTHER, TWO), "its follower of a gap"),
            (feed(ONE, OTHER, TWO), feed(ONE, OTHER, TWO, gap=True), "its second reader of a gap"),
            (feed(TWO, OTHER), feed(TWO, OTHER), "job_1: its events in the feed are [2]"),
            (feed(ONE, OTHER), feed(ONE, OTHER), "job_1 is succeeded, and its ends in the feed"),
            (feed(ONE, TWO), feed(ONE, TWO), "job_2 is failed, and its ends in the feed are []"),
            (feed(TWO, ONE, OTHER), feed(TWO, ONE, OTHER), "are [2, 1]"),
        ],
    )
    def test_what_is_wrong_is_told(self, followed: Feed, again: Feed, said: str) -> None:
        faults = faults_of(followed, again, JOBS)
        assert any(said in fault for fault in faults), faults


class Listed:
    """An API whose list of jobs is another at each look."""

    def __init__(self, *statuses: str) -> None:
        self._statuses = list(statuses)

    async def jobs(self) -> AsyncIterator[dict[str, Any]]:
        yield {"id": "job_1", "delivery": {"status": self._statuses.pop(0)}}
        yield {"id": "job_2", "delivery": None}


async def test_callbacks_are_reckoned_once_what_came_of_them_is_recorded() -> None:
    api = Listed("sending", "delivered", "pending")
    jobs = await recorded(cast("Api", api), 60)
    assert jobs["job_1"]["delivery"]["status"] == "delivered"
    jobs = await recorded(cast("Api", api), 0)
    assert jobs["job_1"]["delivery"]["status"] == "pending"
