"""What several commands take is written one way, and told of in one way."""

from __future__ import annotations

import json

import pytest

from dispatcher.cli.main import main
from tests.cli.conftest import Play
from tests.cli.scripted import Reply

SUBMIT = ("submit", "t", "1", "--callback", "https://r.example/in")
ADD = ("endpoints", "add", "https://r.example/in")
LIMITS = ("callers", "limits", "shop")
JOB = {"id": "job_1", "status": "queued"}


@pytest.mark.parametrize("text", ["0,2.5,300", "0, 2.5, 300", "0 2.5 300"])
def test_a_schedule_is_written_with_commas_or_spaces(
    play: Play, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    service = play(Reply(202, JOB))
    assert main([*SUBMIT, "--schedule", text]) == 0
    assert main([*ADD, "--schedule", text]) == 0
    submitted, added = (json.loads(seen.body) for seen in service.seen)
    assert submitted["callback"]["schedule"] == added["schedule"] == [0, 2.5, 300]
    assert main(["callers", "create", "shop"]) == 0
    capsys.readouterr()
    assert main([*LIMITS, "--schedule", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schedule"] == [0, 2.5, 300]


@pytest.mark.parametrize("command", [SUBMIT, ADD, LIMITS], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "not seconds such as 0,5,300"),
        ("0;5", "not seconds such as 0,5,300"),
        ("", "a schedule has 1 to 50 entries"),
        (",".join("0" * 51), "a schedule has 1 to 50 entries"),
        ("0,-1", "is 0 to 604800 seconds"),
        ("nan", "is 0 to 604800 seconds"),
        ("0,inf", "is 0 to 604800 seconds"),
    ],
)
def test_what_is_no_schedule_is_told_in_the_same_words(
    play: Play,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    text: str,
    why: str,
) -> None:
    service = play(Reply(202, JOB))
    assert main([*command, "--schedule", text]) == 2
    err = capsys.readouterr().err
    assert err.startswith("dispatcher: Invalid value for '--schedule': ")
    assert why in err
    assert service.seen == []


@pytest.mark.parametrize("command", [SUBMIT, ADD], ids=lambda words: words[0])
@pytest.mark.parametrize("text", ["s3cret", ":s3cret", " : s3cret"])
def test_what_is_no_header_is_told_without_showing_it(
    play: Play, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], text: str
) -> None:
    """Its value may be one that is kept encrypted."""
    service = play(Reply(202, JOB))
    assert main([*command, "--header", text]) == 2
    err = capsys.readouterr().err
    assert err.startswith("dispatcher: Invalid value for '--header': it is written NAME:VALUE")
    assert "s3cret" not in err
    assert service.seen == []


def test_a_callers_schedule_fits_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPATCHER_LIMIT_SCHEDULE_SECONDS", "100")
    monkeypatch.setenv("DISPATCHER_LIMIT_SCHEDULE_ENTRIES", "2")
    assert main(["callers", "create", "shop"]) == 0
    for text, why in (("0,101", "0 to 100 seconds"), ("0,1,2", "1 to 2 entries")):
        assert main([*LIMITS, "--schedule", text]) == 2
        err = capsys.readouterr().err
        assert "Invalid value for '--schedule': " in err
        assert why in err
    assert main([*LIMITS, "--schedule", "0,100"]) == 0


def test_a_caller_that_is_typed_is_one_caller(play: Play) -> None:
    service = play(Reply(201, JOB))
    assert main([*ADD, "--caller", "clr_1&url=a b"]) == 0
    assert service.seen[0].path == "/v1/endpoints?callerId=clr_1%26url%3Da+b"
