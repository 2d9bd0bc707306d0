"""`dispatcher queues`, `pause` and `resume`: what they ask, and what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatcher.cli.main import main
from tests.cli.scripted import Reply, Scripted, serving

SINCE = "2026-01-31T12:00:00.000Z"
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
            ("pause", "a/b"),
            "/v1/queues/a%2Fb/pause",
            f"The queue a/b is paused since {SINCE}.\n",
        ),
        (("resume",), "/v1/resume", "The queues go on.\n"),
        (("resume", "reports"), "/v1/queues/reports/resume", "The queue reports goes on.\n"),
    ],
    ids=str,
)
def test_pausing(
    words: tuple[str, ...], path: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Reply(200, {"pausedAt": SINCE})
    assert asked(*words, replies=[reply]) == [("POST", path)]
    assert capsys.readouterr().out == printed
    asked(*words, "--json", replies=[reply])
    assert json.loads(capsys.readouterr().out) == {"pausedAt": SINCE}
