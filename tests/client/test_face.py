"""What the package offers, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import dispatcher
import dispatcher.client
from dispatcher.client import Client, Submission, SyncClient


@pytest.mark.parametrize("module", [dispatcher, dispatcher.client])
def test_what_is_public_is_listed_and_there(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]  # of a module as an object
    assert names == sorted(names)
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = module.colour  # type: ignore[attr-defined]  # the point


def test_what_is_public_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/client.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)", page))
    assert set(dispatcher.client.__all__) - named == set()
    assert set(typing.get_type_hints(Submission)) - named == set()
    calls = {name for name in vars(Client) if not name.startswith("_")}
    assert calls - named == set()
    assert calls - set(vars(SyncClient)) == set()


def loaded(code: str) -> set[str]:
    """The modules that are there after `code` in a Python of its own."""
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


OF_THE_SERVICE = {
    "cryptography",
    "jsonschema_rs",
    "prometheus_client",
    "uvloop",
    "click",
    "sqlite3",
    "dispatcher.adapters",
    "dispatcher.engine",
    "dispatcher.ports",
    "dispatcher.web",
    "dispatcher.settings",
    "dispatcher.compose",
}


def test_a_caller_does_not_wait_for_what_a_service_needs() -> None:
    for name in ("Client", "SyncClient"):
        found = loaded(f"from dispatcher.client import {name}")
        assert "aiohttp" in found
        assert found & OF_THE_SERVICE == set()


def test_a_receiver_does_not_wait_for_what_a_caller_needs() -> None:
    found = loaded("from dispatcher.client import verify")
    assert found & (OF_THE_SERVICE | {"aiohttp", "asyncio"}) == set()
