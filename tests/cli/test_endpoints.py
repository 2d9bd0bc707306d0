"""`dispatcher endpoints` against a service that a test wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatcher.cli.main import main
from tests.cli.conftest import Play
from tests.cli.scripted import Reply

ENDPOINT = {
    "id": "ep_1",
    "url": "https://h.example/in",
    "events": ["job.failed", "delivery.dead"],
    "status": "enabled",
    "disabledReason": None,
}


def body(seen: Any) -> Any:
    return json.loads(seen.body)


def test_one_is_added_and_its_secret_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(201, ENDPOINT | {"secret": "whsec_x"}))
    words = ["endpoints", "add", "https://h.example/in", "--event", "job.failed", "--event"]
    words += ["delivery.dead", "--header", "X-Team: a:b ", "--schedule", "0,2.5"]
    assert main([*words, "--caller", "clr_1"]) == 0
    assert capsys.readouterr().out == (
        "ep_1 enabled job.failed,delivery.dead https://h.example/in\n"
        "  secret  whsec_x  (shown this once)\n"
    )
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/v1/endpoints?callerId=clr_1")
    assert body(seen) == {
        "url": "https://h.example/in",
        "events": ["job.failed", "delivery.dead"],
        "headers": {"X-Team": "a:b"},
        "schedule": [0, 2.5],
    }


def test_what_is_named_is_changed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(200, ENDPOINT), Reply(200, ENDPOINT))
    assert main(["endpoints", "set", "ep_1", "--schedule", "default"]) == 0
    assert main(["endpoints", "set", "ep_1", "--to", "https://n.example/", "--json"]) == 0
    first, second = service.seen
    assert (first.method, first.path, body(first)) == (
        "PATCH",
        "/v1/endpoints/ep_1",
        {"schedule": None},
    )
    assert body(second) == {"url": "https://n.example/"}
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == ENDPOINT


def test_a_change_of_nothing_is_told_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["endpoints", "set", "ep_1"]) == 2
    assert "say what to change" in capsys.readouterr().err


def test_endpoints_are_listed_and_one_is_shown(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    resting = ENDPOINT | {"id": "ep_2", "status": "disabled", "disabledReason": "gone"}
    page = {"items": [ENDPOINT, resting], "nextCursor": None}
    service = play(Reply(200, page), Reply(200, page), Reply(200, ENDPOINT))
    assert main(["endpoints", "list", "--caller", "clr_1"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "ep_2 disabled (gone) job.failed,delivery.dead https://h.example/in"
    )
    assert main(["endpoints", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [ENDPOINT, resting]
    assert main(["endpoints", "show", "ep_1"]) == 0
    assert json.loads(capsys.readouterr().out) == ENDPOINT
    assert [seen.path for seen in service.seen] == [
        "/v1/endpoints?callerId=clr_1&limit=20",
        "/v1/endpoints?limit=20",
        "/v1/endpoints/ep_1",
    ]


def test_switched_pinged_rotated_removed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    ping = {"id": "dlv_1", "status": "pending", "url": "https://h.example/in"}
    rotated = {"secret": "whsec_n", "othersSignUntil": "2026-01-31T12:00:00.000Z"}
    service = play(
        Reply(200, ENDPOINT),
        Reply(404, {"code": "endpoint-not-found", "detail": "no such"}),
        Reply(200, ENDPOINT),
        Reply(202, ping),
        Reply(200, rotated),
        Reply(204, None),
    )
    assert main(["endpoints", "disable", "ep_1", "ep_9"]) == 1
    assert main(["endpoints", "enable", "ep_1"]) == 0
    assert main(["endpoints", "ping", "ep_1"]) == 0
    assert main(["endpoints", "rotate-secret", "ep_1", "--overlap", "0"]) == 0
    assert main(["endpoints", "remove", "ep_1"]) == 0
    assert [(seen.method, seen.path) for seen in service.seen] == [
        ("POST", "/v1/endpoints/ep_1/disable"),
        ("POST", "/v1/endpoints/ep_9/disable"),
        ("POST", "/v1/endpoints/ep_1/enable"),
        ("POST", "/v1/endpoints/ep_1/ping"),
        ("POST", "/v1/endpoints/ep_1/rotate-secret"),
        ("DELETE", "/v1/endpoints/ep_1"),
    ]
    assert body(service.seen[4]) == {"overlapSeconds": 0}
    assert capsys.readouterr().out.splitlines()[2:] == [
        "dlv_1 pending to https://h.example/in",
        "secret  whsec_n  (shown this once)",
        "the others sign until 2026-01-31T12:00:00.000Z",
        "ep_1 deleted",
    ]
