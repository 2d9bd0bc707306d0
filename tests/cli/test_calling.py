"""`dispatcher jobs` and `dispatcher deliveries`: what they ask, and what they print."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from dispatcher.cli.main import main
from tests.cli.conftest import Play
from tests.cli.scripted import Reply

DELIVERY: dict[str, Any] = {
    "id": "dlv_1",
    "status": "dead",
    "eventType": "job.succeeded",
    "attemptCount": 2,
    "url": "https://r.example/in",
    "nextAttemptAt": None,
    "cancelRequestedAt": None,
}
JOB: dict[str, Any] = {
    "id": "job_1",
    "status": "running",
    "type": "t",
    "createdAt": "2026-01-31T12:00:00.000Z",
    "cancelRequestedAt": None,
}
PENDING_PROBLEM = {"code": "delivery-pending", "detail": "The delivery is pending."}


def a_page(*items: dict[str, Any], cursor: str | None = None) -> Reply:
    return Reply(200, {"items": list(items), "nextCursor": cursor})


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


# --- Lists -------------------------------------------------------------------------------------


def test_a_list_is_a_line_for_each(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(a_page(DELIVERY, DELIVERY | {"id": "dlv_2", "attemptCount": 1}))
    assert main(["deliveries", "list"]) == 0
    assert out(capsys) == (
        "dlv_1 dead job.succeeded 2 attempts https://r.example/in\n"
        "dlv_2 dead job.succeeded 1 attempt https://r.example/in\n"
    )
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("GET", "/v1/deliveries?limit=20")
    assert seen.headers["authorization"] == "Bearer dsp_key"


def test_every_option_is_asked_for(play: Play) -> None:
    service = play(a_page())
    words = (
        "deliveries list --status dead --job job_1 --event job.failed --callback https://r/?a=b&c"
        " --after 2026-01-31T09:30:00+01:00 --before 2026-02-01T00:00:00Z --caller clr_1 --limit 5"
    )
    assert main(words.split()) == 0
    words = "jobs list --status failed --type t --queue q --correlation-id 'a b' --limit 1"
    assert main(shlex.split(words)) == 0
    deliveries, jobs = service.seen
    assert sorted(deliveries.path.partition("?")[2].split("&")) == [
        "callerId=clr_1",
        "createdAfter=2026-01-31T09%3A30%3A00%2B01%3A00",
        "createdBefore=2026-02-01T00%3A00%3A00Z",
        "eventType=job.failed",
        "jobId=job_1",
        "limit=5",
        "status=dead",
        "url=https%3A%2F%2Fr%2F%3Fa%3Db%26c",
    ]
    assert sorted(jobs.path.partition("?")[2].split("&")) == [
        "correlationId=a+b",
        "limit=1",
        "queue=q",
        "status=failed",
        "type=t",
    ]


def test_pages_are_followed_even_past_an_empty_one(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [JOB | {"id": f"job_{number}"} for number in range(4)]
    service = play(a_page(*jobs[:2], cursor="c1"), a_page(cursor="c2"), a_page(*jobs[2:]))
    assert main(["jobs", "list", "--limit", "150", "--json"]) == 0
    assert json.loads(out(capsys)) == jobs
    assert [seen.path for seen in service.seen] == [
        "/v1/jobs?limit=100",
        "/v1/jobs?limit=100&cursor=c1",
        "/v1/jobs?limit=100&cursor=c2",
    ]


def test_no_more_is_shown_than_is_wanted(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """How much a page holds is left to the service."""
    jobs = [JOB | {"id": f"job_{number}"} for number in range(4)]
    service = play(a_page(*jobs[:2], cursor="c1"), a_page(*jobs[2:], cursor="c2"))
    assert main(["jobs", "list", "--limit", "3", "--json"]) == 0
    assert json.loads(out(capsys)) == jobs[:3]
    assert [seen.path for seen in service.seen] == [
        "/v1/jobs?limit=3",
        "/v1/jobs?limit=1&cursor=c1",
    ]


# --- One thing ---------------------------------------------------------------------------------


def test_one_delivery_with_its_attempts(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    attempts = [
        {"number": 1, "at": "T1", "durationMs": 12, "statusCode": 200, "error": None},
        {
            "number": 2,
            "at": "T2",
            "durationMs": 9,
            "statusCode": None,
            "error": {"code": "dns", "detail": "no \x1b[31msuch name"},
        },
    ]
    shown = DELIVERY | {"status": "pending", "nextAttemptAt": "T3", "attempts": attempts}
    service = play(Reply(200, shown))
    assert main(["deliveries", "show", "dlv/1?"]) == 0
    assert out(capsys) == (
        "dlv_1 pending job.succeeded 2 attempts https://r.example/in\n"
        "  1 T1 200 12 ms\n"
        "  2 T2 no answer 9 ms dns: no \ufffd[31msuch name\n"
        "  next at T3\n"
    )
    assert service.seen[0].path == "/v1/deliveries/dlv%2F1%3F"
    assert main(["deliveries", "show", "dlv_1", "--json"]) == 0
    assert json.loads(out(capsys)) == shown


def test_a_job_is_shown_as_json_with_and_without_the_flag(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play(Reply(200, JOB))
    for flags in ([], ["--json"]):
        assert main(["jobs", "show", "job_1", *flags]) == 0
        assert json.loads(out(capsys)) == JOB


def test_a_result_is_printed_as_it_is(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(200, b'{"a":  1}'))
    assert main(["jobs", "result", "job_1"]) == 0
    assert out(capsys) == '{"a":  1}\n'
    assert main(["jobs", "result", "job_1", "--json"]) == 0
    assert out(capsys) == '{"a":1}\n'
    assert service.seen[0].path == "/v1/jobs/job_1/result"


# --- Doing something ---------------------------------------------------------------------------


def test_redeliver_and_cancel_post_and_show(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    asked = DELIVERY | {"status": "sending", "cancelRequestedAt": "T"}
    service = play(Reply(202, DELIVERY | {"status": "pending"}), Reply(200, asked))
    assert main(["deliveries", "redeliver", "dlv_1"]) == 0
    assert out(capsys).startswith("dlv_1 pending ")
    assert main(["deliveries", "cancel", "dlv_1"]) == 0
    assert out(capsys).endswith(" (asked to cancel)\n")
    assert [(seen.method, seen.path, seen.body) for seen in service.seen] == [
        ("POST", "/v1/deliveries/dlv_1/redeliver", b""),
        ("POST", "/v1/deliveries/dlv_1/cancel", b""),
    ]


def test_a_job_that_runs_is_asked_to_stop(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(202, JOB | {"cancelRequestedAt": "T"}))
    assert main(["jobs", "cancel", "job_1"]) == 0
    assert out(capsys) == "job_1 running t 2026-01-31T12:00:00.000Z (asked to cancel)\n"
    assert service.seen[0].path == "/v1/jobs/job_1/cancel"


def test_a_replay_shows_the_new_job(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(202, JOB | {"id": "job_2", "status": "queued", "replayOf": "job_1"}))
    assert main(["jobs", "replay", "job_1"]) == 0
    assert out(capsys) == "job_2 queued t 2026-01-31T12:00:00.000Z\n"
    assert main(["jobs", "replay", "job_1", "--json"]) == 0
    assert json.loads(out(capsys))["replayOf"] == "job_1"
    assert (service.seen[0].method, service.seen[0].path) == ("POST", "/v1/jobs/job_1/replay")


def test_what_is_deleted_is_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(204))
    assert main(["jobs", "delete", "job_1", "job_2"]) == 0
    assert out(capsys) == "job_1 erased\njob_2 erased\n"
    assert main(["jobs", "delete", "job_3", "--cancel-deliveries", "--json"]) == 0
    assert json.loads(out(capsys)) == {"id": "job_3", "erased": True}
    assert [(seen.method, seen.path) for seen in service.seen] == [
        ("DELETE", "/v1/jobs/job_1"),
        ("DELETE", "/v1/jobs/job_2"),
        ("DELETE", "/v1/jobs/job_3?cancelDeliveries=true"),
    ]


def test_of_many_one_that_is_refused_stops_no_other(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Reply(202, DELIVERY | {"status": "pending"})
    service = play(done, Reply(409, PENDING_PROBLEM), done)
    assert main(["deliveries", "redeliver", "dlv_1", "dlv_2", "dlv_3", "--json"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert shown.err == (
        "dispatcher: dlv_2: 409 delivery-pending: The delivery is pending.\n"
        "dispatcher: 1 of 3 were refused\n"
    )
    assert len(service.seen) == 3


def test_what_is_refused_is_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play(Reply(409, PENDING_PROBLEM))
    assert main(["deliveries", "redeliver", "dlv_1"]) == 1
    assert capsys.readouterr().err == (
        "dispatcher: 409 delivery-pending: The delivery is pending.\n"
    )


@pytest.mark.parametrize("body", [[], {"items": 1}, {}])
def test_an_answer_that_is_no_list_is_told(
    play: Play, capsys: pytest.CaptureFixture[str], body: object
) -> None:
    play(Reply(200, body))
    assert main(["deliveries", "list"]) == 1
    assert "DISPATCHER_URL" in capsys.readouterr().err
