"""`dispatcher queues`, `pause` and `resume`: what they ask, and what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatcher.cli.main import main
from tests.cli.scripted import Reply, Scripted, serving

SINCE = "2026-01-31T12:00:00.000Z"
ALL = f"All queues are paused since {SINCE}:"
REPORTS: dict[str, Any] = {
    "name": "reports",
    "depth": 3,
    "scheduled": 1,
    "running": 2,
    "oldestAgeSeconds": 4.5,
    "pausedAt": SINCE,
}
IDLE: dict[str, Any] = {
    "name": "default",
    "depth": 0,
    "scheduled": 0,
    "running": 0,
    "oldestAgeSeconds": None,
    "pausedAt": None,
}


def asked(*words: str, replies: list[Reply]) -> list[tuple[str, str]]:
    """What a command asks of a service that answers so."""
    with serving(Scripted(*replies)) as service:
        assert main([*words, "--url", service.url]) == 0
        return [(seen.method, seen.path) for seen in service.seen]


def test_a_line_for_each_queue(capsys: pytest.CaptureFixture[str]) -> None:
    page = {"items": [IDLE, REPORTS], "nextCursor": None, "pausedAt": SINCE}
    seen = asked("queues", replies=[Reply(200, page)])
    assert seen[0] == ("GET", "/v1/queues?limit=100")
    assert capsys.readouterr().out == (
        f"All queues are paused since {SINCE}.\n"
        "default, 0 waiting, 0 scheduled, 0 running\n"
        "reports, 3 waiting, 1 scheduled, 2 running, oldest 4.5 s, "
        f"paused since {SINCE}\n"
    )
    asked("queues", "--json", replies=[Reply(200, page)])
    assert json.loads(capsys.readouterr().out) == {"items": [IDLE, REPORTS], "pausedAt": SINCE}


@pytest.mark.parametrize(
    ("words", "path", "printed"),
    [
        (("pause",), "/v1/pause", f"All queues are paused since {SINCE}.\n"),
        (
            ("pause", "reports"),
            "/v1/queues/reports/pause",
            f"The queue reports is paused since {SINCE}.\n",
        ),
    ],
    ids=str,
)
def test_what_pause_and_resume_ask_for_and_print(
    words: tuple[str, ...], path: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Reply(200, {"pausedAt": SINCE})
    assert asked(*words, replies=[reply]) == [("POST", path)]
    assert capsys.readouterr().out == printed
    asked(*words, "--json", replies=[reply])
    assert json.loads(capsys.readouterr().out) == {"pausedAt": SINCE}


@pytest.mark.parametrize(
    ("words", "queues", "all_at", "printed"),
    [
        ("resume", [IDLE], SINCE, "The queues go on."),
        ("resume", [REPORTS], SINCE, "The queues go on. Still paused by name: reports."),
        ("resume", [IDLE], None, "They were not all paused."),
        ("resume reports", [IDLE, REPORTS], None, "The queue reports goes on."),
        (
            "resume reports",
            [REPORTS],
            SINCE,
            f"The queue reports goes on. {ALL} `dispatcher resume` ends that.",
        ),
        (
            "resume report",
            [IDLE, REPORTS],
            None,
            "The queue report was not paused. Paused by name: reports.",
        ),
        ("resume default", [IDLE], None, "The queue default was not paused. No queue is by name."),
    ],
)
def test_what_was_paused_is_told_when_it_is_resumed(
    words: str,
    queues: list[dict[str, Any]],
    all_at: str | None,
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Reply(200, {"items": queues, "nextCursor": None, "pausedAt": all_at})
    _, queue = words.split() if " " in words else (words, None)
    path = "/v1/resume" if queue is None else f"/v1/queues/{queue}/resume"
    seen = asked(*words.split(), replies=[page, page, Reply(200, {"pausedAt": None})])
    assert seen[-1] == ("POST", path)
    assert capsys.readouterr().out == f"{printed}\n"


def test_as_json_it_is_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    seen = asked("resume", "report", "--json", replies=[Reply(200, {"pausedAt": None})])
    assert seen == [("POST", "/v1/queues/report/resume")]
    assert json.loads(capsys.readouterr().out) == {"pausedAt": None}


@pytest.mark.parametrize("name", ["Bad Name", "a/b", "-x", "a" * 101, "a\n", ""])
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_name_that_no_queue_can_have(
    verb: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--url", "http://127.0.0.1:1", "--", name]) == 2
    assert "1 to 100 of a-z 0-9 . _ -" in capsys.readouterr().err
