from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dispatcher.cli import main as command_line
from dispatcher.cli.main import COMMANDS, FAILED, INTERRUPTED, MISUSED, group, main
from dispatcher.core.errors import SettingsError, StoreUnavailable


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Commands raise what is put into this list."""
    errors: list[BaseException] = []

    @click.command("submit")
    def fake() -> None:
        raise errors[0]

    monkeypatch.setattr(group, "get_command", lambda *_: fake)
    return errors


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, says) in COMMANDS.items():
        assert f"  {name} " in out
        assert says in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_helps(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: dispatcher {name}")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "listen"])
def test_json_is_everywhere(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    waiting: list[click.Command] = [command]
    while waiting:
        each = waiting.pop()
        if isinstance(each, click.Group):
            waiting += each.commands.values()
            continue
        assert "--json" in {option for param in each.params for option in param.opts}, each.name


@pytest.mark.parametrize(
    ("arguments", "first"),
    [([], "Usage: dispatcher [OPTIONS] COMMAND"), (["callers"], "Usage: dispatcher callers [")],
)
def test_a_command_left_out_shows_the_help_as_it_is(
    arguments: list[str], first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(first)
    assert "\nCommands:\n" in err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    version = importlib.metadata.version("callback-dispatcher")
    assert capsys.readouterr().out == f"dispatcher {version}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["callrs"], "There is no command 'callrs'; did you mean 'callers'?"),
        (["zzz"], "There is no command 'zzz'; there are serve, listen, submit"),
        (["--zzz"], "No such option"),
        (["callers", "zzz"], "No such command 'zzz'"),
        (["migrate", "--zzz"], "No such option"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dispatcher: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SettingsError("port is\nodd"), 2, "dispatcher: port is odd\n"),
        (StoreUnavailable("disk full"), 1, "dispatcher: disk full\n"),
        (click.ClickException("no"), 1, "dispatcher: no\n"),
        (KeyError("x"), 1, "dispatcher: unexpected KeyError: 'x' (DISPATCHER_DEBUG=1 shows where"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (click.exceptions.Exit(7), 7, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    says: str,
    raising: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPATCHER_DEBUG", raising=False)
    raising.append(error)
    assert main(["submit"]) == code
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert len(err.split("\n")) <= 2
    assert says or not err.strip()


def test_help_and_reference_tell_the_same_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    page = Path(__file__).parents[2] / "docs/reference/cli.md"
    for code in (0, FAILED, MISUSED, INTERRUPTED):
        for text in (shown, page.read_text("utf-8")):
            told = text.partition("Exit codes: ")[2].partition(".")[0]
            assert re.search(rf"\b{code} [a-z]", told), (code, told)


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_tracebacks_are_for_those_who_ask(
    value: str,
    shown: bool,
    raising: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPATCHER_DEBUG", value)
    raising.append(StoreUnavailable("disk full"))
    assert main(["submit"]) == 1
    assert ("Traceback" in capsys.readouterr().err) is shown


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""


def test_help_needs_nothing_heavy() -> None:
    # What makes a command line slow to start: the server, the store, TLS.
    program = (
        "import sys; from dispatcher.cli.main import main; main(['--help']); "
        "print(sorted({'aiohttp', 'cryptography', 'sqlite3', 'uvloop', 'jsonschema_rs'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_script_is_the_package_s(tmp_path: Path) -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="dispatcher")
    assert script.load() is command_line.main
