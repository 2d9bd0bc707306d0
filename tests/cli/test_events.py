"""`dispatcher events`, and how `submit --wait` lets the service hold its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dispatcher.cli.main import main
from tests.cli.scripted import Reply, Scripted, serving

EVENT = {
    "id": "evt_1",
    "type": "job.failed",
    "timestamp": "2026-01-31T09:30:00.123Z",
    "data": {"id": "job_1\x1b[2J"},
}


def page(cursor: str, *items: Any, gap: bool = False) -> Reply:
    return Reply(200, {"items": items, "nextCursor": cursor, "gap": gap})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def play(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, *replies: Reply) -> Scripted:
    scripted = stack.enter_context(serving(Scripted(*replies)))
    monkeypatch.setenv("DISPATCHER_URL", scripted.url)
    return scripted


def test_it_reads_to_the_end(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = play(
        stack, monkeypatch, page("c1", EVENT), page("c2", {**EVENT, "data": None}), page("c2")
    )
    arguments = ["events", "--type", "job.failed", "--type", "ping", "--caller", "clr_1"]
    assert main([*arguments, "--cursors"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "2026-01-31T09:30:00.123Z job.failed job_1\ufffd[2J",
        "2026-01-31T09:30:00.123Z job.failed",
    ]
    assert err.splitlines() == ["c1", "c2", "c2"]
    first = "/v1/events?limit=100&types=job.failed%2Cping&callerId=clr_1"
    assert [seen.path for seen in service.seen] == [
        first,
        f"{first}&cursor=c1",
        f"{first}&cursor=c2",
    ]
    assert all("prefer" not in seen.headers for seen in service.seen)


def test_events_whole_and_a_gap(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(stack, monkeypatch, page("c1", EVENT, gap=True), page("c1"))
    assert main(["events", "--json", "--cursor", "c0"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [EVENT]
    assert "not kept any more" in err


def test_following_goes_on_and_is_patient(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    replies = [page("c1", EVENT), page("c1"), Reply(0), page("c2", EVENT), Reply(401, {})]
    service = play(stack, monkeypatch, *replies)
    assert main(["events", "--follow"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert len(service.seen) == len(replies)
    assert {seen.headers["prefer"] for seen in service.seen} == {"wait=45"}


def test_what_is_no_feed_is_told(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(stack, monkeypatch, Reply(200, {"items": []}))
    assert main(["events"]) == 1
    assert "no feed" in capsys.readouterr().err
