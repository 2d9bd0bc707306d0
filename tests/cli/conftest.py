from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.scripted import Reply, Scripted, serving

Play = Callable[..., Scripted]


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DISPATCHER_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    open_services = []

    def start(*replies: Reply) -> Scripted:
        service = serving(Scripted(*replies))
        open_services.append(service)
        scripted = service.__enter__()
        monkeypatch.setenv("DISPATCHER_URL", scripted.url)
        monkeypatch.setenv("DISPATCHER_API_KEY", "dsp_key")
        return scripted

    yield start
    for each in open_services:
        each.__exit__(None, None, None)
