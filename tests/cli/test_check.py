"""`dispatcher check`: what it finds, and that it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.adapters.secrets import key_file, new_key
from dispatcher.adapters.sqlite.schema import migrations
from dispatcher.adapters.system import SystemRandom
from dispatcher.cli.main import main

DATABASE = Path("dispatcher.db")


class Report(NamedTuple):
    """What `check --json` found: the level of each check, what was advised."""

    code: int
    levels: dict[str, str]
    text: str


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> Report:
    code = main(["check", "--json", *arguments])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    for finding in told["findings"]:
        assert finding["level"] in {"ok", "warn", "fail"}
        assert finding["detail"]
    levels = {finding["check"]: finding["level"] for finding in told["findings"]}
    return Report(code, levels, json.dumps(told, ensure_ascii=False))


def test_check_before_the_first_start_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = check(capsys)
    assert report.code == 0
    assert report.levels["database"] == "warn"
    assert report.levels["public_url"] == "warn"
    assert list(Path().iterdir()) == []


def test_check_of_a_good_installation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_PUBLIC_URL", "https://jobs.example.com")
    main(["migrate"])
    capsys.readouterr()
    report = check(capsys)
    assert report.code == 0
    for name in ("settings", "public_url", "folder", "database", "key", "store", "secrets"):
        assert report.levels[name] == "ok", report.text
    assert f"schema {migrations()[-1].number}" in report.text


def test_check_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "ok    settings    all defaults\n" in out
    assert "warn  public_url  is not set" in out
    assert "                  → set it to what callers reach the service at\n" in out


def test_check_names_what_is_wrong_with_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dispatcher.toml").write_text("prot = 1")
    report = check(capsys)
    assert report.code == 1
    assert report.levels == {"settings": "fail"}
    assert "did you mean port?" in report.text


def test_check_tells_of_plain_http(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_PUBLIC_URL", "http://jobs.example.com")
    assert check(capsys).levels["public_url"] == "warn"


def test_check_of_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    report = check(capsys, "--store", "sqlite:///gone/x.db")
    assert report.code == 1
    assert report.levels["folder"] == "fail"
    assert "mkdir -p" in report.text


@pytest.mark.parametrize(("free_mib", "level"), [(50, "fail"), (500, "warn"), (5000, "ok")])
def test_check_of_the_disk(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    free_mib: int,
    level: str,
) -> None:
    usage = shutil.disk_usage(".")._replace(free=free_mib * 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert check(capsys).levels["disk"] == level


def test_check_of_too_few_open_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 256))
    report = check(capsys)
    assert report.levels["open files"] == "warn"
    assert "ulimit -Hn 1024" in report.text


@pytest.mark.parametrize("content", [b"garbage " * 1000, None])
def test_check_of_a_file_that_is_no_database_of_ours(
    capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is None:
        connection = sqlite3.connect(DATABASE)
        connection.execute("CREATE TABLE other (x)")
        connection.close()
    else:
        DATABASE.write_bytes(content)
    before = DATABASE.read_bytes()
    report = check(capsys)
    assert report.code == 1
    assert report.levels["database"] == "fail"
    assert DATABASE.read_bytes() == before


@pytest.mark.parametrize(("version", "level"), [(0, "warn"), (9999, "fail")])
def test_check_of_another_schema_changes_nothing(
    capsys: pytest.CaptureFixture[str], version: int, level: str
) -> None:
    main(["migrate"])
    capsys.readouterr()
    connection = sqlite3.connect(DATABASE)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    report = check(capsys)
    assert report.levels["database"] == level
    assert "store" not in report.levels
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.close()


def test_check_of_a_key_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate"])
    key_file(DATABASE).unlink()
    capsys.readouterr()
    report = check(capsys)
    assert report.code == 1
    assert report.levels["key"] == report.levels["secrets"] == "fail"
    assert not key_file(DATABASE).exists()


def test_check_of_another_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["migrate"])
    capsys.readouterr()
    key = new_key(SystemRandom())
    monkeypatch.setenv("DISPATCHER_SECRET_KEY", key)
    report = check(capsys)
    assert report.levels["secrets"] == "fail"
    assert key not in report.text
    assert key[4:] not in report.text


@pytest.mark.parametrize("arguments", [[], ["--store", "postgresql://u@127.0.0.1:9/d"]])
def test_check_of_a_setting_that_is_no_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("DISPATCHER_SECRET_KEY", "foo4711")
    report = check(capsys, *arguments)  # before there is any database
    assert report.code == 1
    assert report.levels["key"] == "fail"
    assert "holds no key: it must be dsk_" in report.text
    assert "4711" not in report.text
    assert list(Path().iterdir()) == []


def test_check_of_a_key_that_is_set_before_the_first_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_SECRET_KEY", new_key(SystemRandom()))
    report = check(capsys)
    assert report.code == 0
    assert report.levels["key"] == "ok"


def test_check_of_a_key_that_others_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate"])
    capsys.readouterr()
    key_file(DATABASE).chmod(0o644)
    report = check(capsys)
    assert report.code == 0
    assert (report.levels["key"], report.levels["secrets"]) == ("warn", "ok")
    assert "mode 644" in report.text
    assert stat.S_IMODE(key_file(DATABASE).stat().st_mode) == 0o644  # it only looks


def test_check_of_a_key_that_others_can_read_and_that_is_somebody_else_s(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["migrate"])
    capsys.readouterr()
    key_file(DATABASE).chmod(0o644)
    monkeypatch.setattr("os.geteuid", lambda: key_file(DATABASE).stat().st_uid + 1)
    report = check(capsys)
    assert report.code == 1
    assert report.levels["key"] == "fail"


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_check_of_a_database_that_others_can_read(
    capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    main(["migrate"])
    capsys.readouterr()
    assert "file mode" not in check(capsys).levels
    file = Path(f"{DATABASE}{suffix}")
    file.touch()
    file.chmod(0o644)
    report = check(capsys)
    assert report.code == 0
    assert report.levels["file mode"] == "warn"
    assert f"chmod 600 {file}" in report.text
    assert not file.exists() or stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_of_a_folder_that_can_not_be_written_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    report = check(capsys, "--store", f"sqlite:///{closed}/x.db")
    assert report.levels["folder"] == "fail"
