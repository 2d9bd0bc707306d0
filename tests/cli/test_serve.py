"""`dispatcher serve`: what it hands over, and what it says. The service itself: tests/whole."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dispatcher import Dispatcher, compose
from dispatcher.cli.greeting import greeting
from dispatcher.cli.main import main
from dispatcher.core.errors import StoreLocked
from dispatcher.settings import Settings


class Served(NamedTuple):
    """What `compose.serve` was called with."""

    settings: Settings
    app: Dispatcher | None


class Running(NamedTuple):
    """The part of a running service that the greeting speaks of."""

    url: str
    types: tuple[str, ...]
    local_url: str


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    calls: list[Served] = []

    def serve(
        settings: Settings,
        app: Dispatcher | None,
        *,
        announce: Callable[[str], None],
        greet: Callable[[Settings, Any], str],
    ) -> int:
        calls.append(Served(settings, app))
        url, local_url = settings.links_base(4711), settings.local_url(4711)
        announce(greet(settings, Running(url, ("dispatcher.echo",), local_url)))
        announce("Stopping.")
        return 3

    monkeypatch.setattr(compose, "serve", serve)
    return calls


def test_flags_become_settings_and_the_status_the_exit_code(served: list[Served]) -> None:
    words = shlex.split(
        "serve --host ::1 --port 0 --store sqlite:///x.db --dev --public-url"
        " https://jobs.example.com --allow-callbacks http://a:9000 --allow-callbacks 10.0.0.0/8"
        " --role all --processes 1"
    )
    assert main(words) == 3
    assert served == [
        Served(
            Settings(
                host="::1",
                port=0,
                store="sqlite:///x.db",
                dev=True,
                public_url="https://jobs.example.com",
                allow_callbacks=("http://a:9000", "10.0.0.0/8"),
            ),
            None,
        )
    ]


def test_without_flags_file_and_environment_hold(
    served: list[Served], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "my.toml"
    config.write_text("dev = true\nport = 1")
    monkeypatch.setenv("DISPATCHER_PORT", "2")
    main(["serve", "--config", str(config)])
    assert served[0].settings == Settings(dev=True, port=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "99999"], "--port: port can't be 99999"),
        (["--role", "api"], "role 'api' is not for SQLite"),
        (["--role", "boss"], "--role: role is one of all, api, jobs, delivery"),
        (["--processes", "2"], "processes must be 1 on SQLite"),
        (["--dev", "--host", "0.0.0.0"], "dev serves loopback only"),
        (["--config", "gone.toml"], "gone.toml: can't be read"),
        (["--store", "postgresql://u:hunter2@h/d"], "secret_key must be set on PostgreSQL"),
    ],
)
def test_settings_that_do_not_fit_end_with_2_before_anything_starts(
    served: list[Served], capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["serve", *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "hunter2" not in err
    assert err.count("\n") == 1
    assert served == []


def test_an_app_is_loaded_from_a_file(served: list[Served]) -> None:
    Path("jobs.py").write_text(
        "from dispatcher import Dispatcher\n\napp = Dispatcher()\n\n"
        "@app.job('shop.hello')\nasync def hello(name: str) -> str:\n    return 'hello ' + name\n"
    )
    main(["serve", "jobs.py"])
    assert isinstance(served[0].app, Dispatcher)


def test_an_app_that_is_not_there_is_told(
    served: list[Served], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "gone.py"]) in {1, 2}
    err = capsys.readouterr().err
    assert "gone.py" in err
    assert err.count("\n") == 1
    assert served == []


def test_a_store_that_is_served_already_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object, **__: object) -> int:
        raise StoreLocked("process 7 serves it")

    monkeypatch.setattr(compose, "serve", serve)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "dispatcher: process 7 serves it\n"


# --- What it says ------------------------------------------------------------------------------


def test_json_is_lines_of_json(served: list[Served], capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "--json"])
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {
        "event": "serving",
        "url": "http://127.0.0.1:4711",
        "listens": "http://127.0.0.1:4711",
        "dev": False,
        "store": "dispatcher.db",
        "types": ["dispatcher.echo"],
    }
    assert json.loads(second) == {"event": "message", "text": "Stopping."}
    assert served[0].settings.log_format == "json"


@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--json"]])
def test_it_goes_on_when_nobody_reads_what_it_says(
    served: list[Served], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(arguments) == 3  # both the greeting and what is said later
        gone.flush()  # as the interpreter does at its end, which would then be with 120
    assert len(served) == 1


def test_the_greeting_says_what_where_and_how_to_begin(
    served: list[Served], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["serve", "--store", "sqlite:///my jobs.db"])
    out = capsys.readouterr().out
    assert "Dispatcher serves http://127.0.0.1:4711\n" in out
    assert "dispatcher.echo" in out
    assert "dispatcher callers create NAME --store 'sqlite:///my jobs.db'\n" in out
    assert "Warning: public_url is not set" in out
    assert "DEVELOPMENT" not in out


def test_a_public_url_is_no_reason_to_warn() -> None:
    settings = Settings(public_url="https://jobs.example.com")
    text = greeting(settings, settings.links_base(), ["dispatcher.echo"], "http://127.0.0.1:8080")
    assert "Warning" not in text


def test_with_a_public_url_it_says_where_it_listens(
    served: list[Served], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["serve", "--public-url", "https://jobs.example.com", "--port", "0"])
    out = capsys.readouterr().out
    assert "Dispatcher serves https://jobs.example.com\n" in out
    assert "  listens    http://127.0.0.1:4711\n" in out
    assert len(served) == 1


def test_dev_says_so_and_gives_two_lines_to_paste() -> None:
    settings = Settings(dev=True, public_url="https://elsewhere.example")
    local = "http://127.0.0.1:4711"
    text = greeting(settings, settings.links_base(), ["dispatcher.echo"], local)
    assert "DEVELOPMENT MODE" in text
    submit, show = [line.strip() for line in text.splitlines() if "curl" in line]
    # Always to loopback: anything else is refused in dev.
    assert submit.startswith("curl -s http://127.0.0.1:4711/v1/jobs -H 'content-type: ")
    body = json.loads(submit.split("-d '")[1].removesuffix("'"))
    assert body["callbackUrl"] == "http://127.0.0.1:4711/dev/inbox"
    assert show == "curl -s http://127.0.0.1:4711/dev/inbox"


def test_a_host_that_is_not_this_machine_s_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "203.0.113.1", "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "can't listen on 203.0.113.1 port 0" in err
    assert "--host" in err
    assert "--port" not in err
