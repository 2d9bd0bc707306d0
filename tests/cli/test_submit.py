from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import submitting
from dispatcher.cli.main import main
from dispatcher.client.answers import Pace, Patience
from dispatcher.client.http import Service
from tests.cli.scripted import Reply, Scripted, serving

Play = Callable[..., Scripted]


def job(status: str = "queued", **more: Any) -> dict[str, Any]:
    done = status in {"succeeded", "failed", "canceled", "expired"}
    links = {"self": "http://jobs.example/v1/jobs/job_1"}
    return {"id": "job_1", "status": status, "done": done, "links": links, **more}


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    monkeypatch.delenv("DISPATCHER_API_KEY", raising=False)
    open_services = []

    def start(*replies: Reply) -> Scripted:
        service = serving(Scripted(*replies))
        open_services.append(service)
        scripted = service.__enter__()
        monkeypatch.setenv("DISPATCHER_URL", scripted.url)
        return scripted

    yield start
    for each in open_services:
        each.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits: pauses are written down instead, and chance takes nothing off them."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("random.random", lambda: 0.0)
    return slept


# --- What is sent ------------------------------------------------------------------------------


def test_a_job_is_submitted_and_shown(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(202, job()))
    assert main(["submit", "dispatcher.echo", '{"hello":  "world"}']) == 0
    assert capsys.readouterr().out == "job_1 queued\nhttp://jobs.example/v1/jobs/job_1\n"
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/v1/jobs")
    assert seen.body == b'{"type":"dispatcher.echo","input":{"hello":  "world"}}'
    assert seen.headers["content-type"] == "application/json"
    assert len(seen.headers["idempotency-key"]) == 36
    assert "authorization" not in seen.headers


def test_an_empty_key_is_no_wish_for_another(play: Play) -> None:
    """`--idempotency-key "$ORDER"` made a job a call where ORDER was not set."""
    service = play(Reply(400, {"code": "invalid-header"}))
    assert main(["submit", "t", "1", "--idempotency-key", ""]) == 1
    (seen,) = service.seen
    assert seen.headers["idempotency-key"] == ""


def test_every_option_becomes_its_member(play: Play) -> None:
    service = play(Reply(202, job()))
    words = shlex.split(
        "submit t 1 --callback https://r.example/in --event job.output --event job.succeeded --thin"
        " --header X-Token:a:b --schedule 0,0.5 --ordered --on-dead block"
        " --queue slow --priority 9 --delay 1.5"
        " --run-at 2026-01-31T09:30:00Z --start-by 2026-02-01T00:00:00Z --deadline"
        " 2026-02-02T00:00:00Z --timeout 60 --max-attempts 2 --retention 3600"
        " --correlation-id order-7 --metadata a=1 --metadata b=x=y --idempotency-key k1"
    )
    assert main(words) == 0
    (seen,) = service.seen
    assert seen.headers["idempotency-key"] == "k1"
    assert json.loads(seen.body) == {
        "type": "t",
        "input": 1,
        "callbackUrl": "https://r.example/in",
        "callback": {
            "events": ["job.output", "job.succeeded"],
            "mode": "thin",
            "headers": {"X-Token": "a:b"},
            "schedule": [0, 0.5],
            "ordered": True,
            "onDead": "block",
        },
        "queue": "slow",
        "priority": 9,
        "delaySeconds": 1.5,
        "runAt": "2026-01-31T09:30:00Z",
        "startBy": "2026-02-01T00:00:00Z",
        "deadline": "2026-02-02T00:00:00Z",
        "timeoutSeconds": 60,
        "maxAttempts": 2,
        "retentionSeconds": 3600,
        "correlationId": "order-7",
        "metadata": {"a": "1", "b": "x=y"},
    }


def test_the_api_key_is_taken_from_the_environment(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = play(Reply(202, job()))
    monkeypatch.setenv("DISPATCHER_API_KEY", "dsp_x")
    assert main(["submit", "t", "1"]) == 0
    assert service.seen[0].headers["authorization"] == "Bearer dsp_x"


def test_the_input_may_come_from_a_file_or_standard_input(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = play(Reply(202, job()))
    path = tmp_path / "in.json"
    path.write_text("[1]")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a":null}')))
    assert main(["submit", "t", f"@{path}"]) == 0
    assert main(["submit", "t", "-"]) == 0
    assert [json.loads(seen.body)["input"] for seen in service.seen] == [[1], {"a": None}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["t", "hello"], "the input is not JSON"),
        (["t", "@/nowhere.json"], "/nowhere.json can't be read: No such file"),
        (["t", "1", "--metadata", "a"], "'--metadata': it is written NAME=VALUE"),
        (["t", "1", "--thin"], "give --callback too"),
        (["t"], "Missing argument"),
        (["t", "1", "--priority", "high"], "not a valid integer"),
        (["t", "1", "--url", "localhost:8080"], "(--url, else DISPATCHER_URL) must be"),
        (["t", "1", "--url", "http://user:pw@host"], "(--url, else DISPATCHER_URL) must be"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    play: Play, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    service = play(Reply(202, job()))
    assert main(["submit", *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert service.seen == []


def test_an_api_key_that_can_be_no_header_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPATCHER_API_KEY", "dsp_x\nhost: evil")
    assert main(["submit", "t", "1"]) == 2
    assert "evil" not in capsys.readouterr().err


# --- What is answered --------------------------------------------------------------------------


def test_json_is_the_job(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play(Reply(202, job()))
    assert main(["submit", "t", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == job()


def test_a_problem_is_one_line_with_every_fault(
    play: Play, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    errors = [
        {"pointer": "/priority", "code": "out-of-range", "detail": "0 to 9"},
        {"pointer": "/type", "code": "unknown-type", "detail": "there is t1"},
    ]
    play(Reply(422, {"code": "invalid-fields", "detail": "It does not fit.", "errors": errors}))
    assert main(["submit", "t", "1"]) == 1
    assert capsys.readouterr().err == (
        "dispatcher: 422 invalid-fields: /priority: 0 to 9; /type: there is t1\n"
    )
    assert pauses == []


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b"\xff"])
def test_a_problem_that_is_none_is_told_by_its_status(
    play: Play, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    play(Reply(404, body))
    assert main(["submit", "t", "1"]) == 1
    assert capsys.readouterr().err == "dispatcher: 404: Not Found\n"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b"\xff", b'{"id": 7}'])
def test_an_answer_that_is_no_job_is_not_trusted(
    play: Play, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    play(Reply(200, body))
    assert main(["submit", "t", "1"]) == 1
    assert "Check DISPATCHER_URL" in capsys.readouterr().err


def test_a_redirect_is_not_followed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(302, b"", {"location": "/elsewhere"}))
    assert main(["submit", "t", "1"]) == 1
    assert len(service.seen) == 1
    assert "302: Found" in capsys.readouterr().err


def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_key(
    play: Play, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    service = play(Reply(0), Reply(503, {}, {"retry-after": "7"}), Reply(202, job()))
    assert main(["submit", "t", "1"]) == 0
    assert len({seen.headers["idempotency-key"] for seen in service.seen}) == 1
    assert len(service.seen) == 3
    assert pauses == [0.5, 7]
    assert capsys.readouterr().err.count("trying again") == 2


def test_a_service_that_stays_away_is_given_up(
    play: Play, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    service = play(Reply(503, {"code": "store-unavailable", "detail": "The disk is full."}))
    assert main(["submit", "t", "1"]) == 1
    assert len(service.seen) == Patience().tries
    assert pauses == [0.5, 1, 2, 4]
    err = capsys.readouterr().err
    assert err.endswith("\ndispatcher: 503 store-unavailable: The disk is full.\n")
    assert err.count("trying again") == 4


def test_not_all_who_wait_come_back_at_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    play(Reply(503, {}), Reply(503, {}, {"retry-after": "20"}), Reply(202, job()))
    assert main(["submit", "t", "1"]) == 0
    assert pauses == [0.375, 21]


def test_to_come_back_at_once_is_no_wish(play: Play, pauses: list[float]) -> None:
    """All tries would be over in a moment."""
    service = play(Reply(503, {}, {"retry-after": "0"}))
    assert main(["submit", "t", "1"]) == 1
    assert len(service.seen) == Patience().tries
    assert pauses == [0.5, 1, 2, 4]


def test_who_is_to_come_back_later_than_one_waits_is_told_at_once(
    play: Play, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    service = play(Reply(429, {"code": "rate-limited"}, {"retry-after": "600"}))
    assert main(["submit", "t", "1"]) == 1
    assert len(service.seen) == 1
    assert pauses == []
    assert capsys.readouterr().err == "dispatcher: 429 rate-limited: Too Many Requests\n"


def test_a_service_that_is_not_there_is_told_with_what_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Scripted(Reply(200))) as gone:
        pass
    monkeypatch.setenv("DISPATCHER_URL", gone.url)
    assert main(["submit", "t", "1"]) == 1
    assert f"nothing listens at {gone.url}: start `dispatcher serve`" in capsys.readouterr().err


# --- Waiting -----------------------------------------------------------------------------------


def test_waiting_prints_the_result(
    play: Play, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    progress = {"current": 3, "total": 10, "message": "rendering\x1b[2J"}
    service = play(
        Reply(202, job()),
        Reply(200, job(), {"retry-after": "1"}),
        Reply(200, job("running", progress=progress), {"retry-after": "1"}),
        Reply(200, job("succeeded", resultOmitted=True)),
        Reply(200, b'{"big":  true}'),
    )
    assert main(["submit", "t", "1", "--wait"]) == 0
    out, err = capsys.readouterr()
    assert out == '{"big":  true}\n'
    assert err.splitlines() == [
        "job_1 queued",
        "job_1 running 3 of 10 rendering\ufffd[2J",
        "job_1 succeeded",
    ]
    assert [seen.path for seen in service.seen[1:]] == [
        "/v1/jobs/job_1",
        "/v1/jobs/job_1",
        "/v1/jobs/job_1",
        "/v1/jobs/job_1/result",
    ]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1


def test_waiting_for_a_job_that_fails(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "no-data", "detail": "The table is empty.", "attempt": 1}
    play(Reply(202, job()), Reply(200, job("failed", error=error)))
    assert main(["submit", "t", "1", "--wait"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "dispatcher: job_1 ended as failed (no-data: The table is empty.)"
    )


def test_waiting_with_json_prints_the_job_alone(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play(Reply(202, job()), Reply(200, job("succeeded", result=1)))
    assert main(["submit", "t", "1", "--wait", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == job("succeeded", result=1)
    assert err == ""


def test_looks_come_to_lie_as_far_apart_as_the_service_says() -> None:
    replies = [Reply(200, job("running"), {"retry-after": "2"})] * 30
    slept: list[float] = []
    with serving(Scripted(*replies, Reply(200, job("succeeded")))) as scripted:
        ended = submitting.wait_for_job(
            Service(scripted.url), job(), sleep=slept.append, saw=lambda _: None
        )
    assert ended["done"]
    assert slept[-1] == 2
    assert max(slept) == 2
    assert slept[0] == Pace.FIRST_SECONDS


def test_answers_that_are_held_need_no_pause() -> None:
    held = {"preference-applied": "wait=45", "retry-after": "1"}
    replies = (
        Reply(200, job("running"), {"etag": '"a"', "retry-after": "1"}),
        Reply(304, b"", {**held, "etag": '"a"'}),
        Reply(200, job("running"), {**held, "etag": '"b"'}),
        Reply(200, job("succeeded"), held),
    )
    slept: list[float] = []
    shown: list[dict[str, Any]] = []
    with serving(Scripted(*replies)) as scripted:
        submitting.wait_for_job(Service(scripted.url), job(), sleep=slept.append, saw=shown.append)
    assert [each["status"] for each in shown] == ["running", "running", "succeeded"]
    prefer = [seen.headers.get("prefer") for seen in scripted.seen]
    assert prefer == [None, "wait=45", "wait=45", "wait=45"]
    known = [seen.headers.get("if-none-match") for seen in scripted.seen]
    assert known == [None, '"a"', '"a"', '"b"']
    # Around the first look, which is not held; and for an answer that came at once with no news.
    assert slept == pytest.approx([0.05, 0.075, 0.1125])


def test_a_restart_while_waiting_is_waited_for() -> None:
    slept: list[float] = []
    replies = (Reply(0), Reply(503, {}), Reply(200, job("succeeded")))
    with serving(Scripted(*replies)) as scripted:
        ended = submitting.wait_for_job(
            Service(scripted.url), job(), sleep=slept.append, saw=lambda _: None
        )
    assert ended["status"] == "succeeded"
