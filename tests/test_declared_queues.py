"""Queues that `dispatcher.toml` declares, and remote types."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.adapters.runners.declared import job_type, remote_kinds
from dispatcher.compose.parts import engine_terms
from dispatcher.core.errors import SettingsError
from dispatcher.settings import RemoteType, Settings, parse_settings


def settings_of(tmp_path: Path, toml: str) -> Settings:
    file = tmp_path / "dispatcher.toml"
    file.write_text(toml)
    return parse_settings(environ={}, config=file).settings


def test_they_bound_what_runs(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"type": "object"}')
    settings = settings_of(
        tmp_path,
        f"""
[queues."reports"]
concurrency = 4
[types."a.b"]
runner = "remote"
concurrency = 3
backoff_seconds = 2
result_schema = "{tmp_path / "r.json"}"
[types."c"]
runner = "remote"
""",
    )
    terms = engine_terms(settings)
    assert terms.concurrency.queues == {"reports": 4}
    assert terms.concurrency.types == {"a.b": 3}
    kind, other = settings.types
    assert isinstance(kind, RemoteType)
    assert job_type(kind).result_schema == b'{"type": "object"}'
    assert (job_type(kind).runner, job_type(other).concurrency) == ("remote", None)
    assert remote_kinds(settings.types)["a.b"].backoff.first_seconds == 2


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[queues.a]", "concurrency"),
        ("[queues.a]\nconcurrency = 0", ">= 1"),
        ("[queues.a]\nconcurrency = 'x'", "int"),
        ("[queues.a]\nconcurrency = 1\nspeed = 2", "has no 'speed'"),
        ("[queues.A]\nconcurrency = 1", "is no name"),
        ("queues = 1", "are tables"),
        ("[queues]\na = 1", "are tables"),
        ("[types.x]\nrunner = 'remote'\nresult_schema = 'no-such-file'", "result_schema"),
        ("[types.x]\nrunner = 'remote'\ncommand = ['a']", "has no 'command'"),
    ],
)
def test_what_can_not_stand_is_told(tmp_path: Path, toml: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings_of(tmp_path, toml)
