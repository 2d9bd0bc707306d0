"""The receivers that the how-to shows do what it says, against a real service."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from scripts.outside import receiver_kinds
from scripts.outside.receiver_kinds import KINDS, PYTHON_KINDS, Unavailable
from scripts.outside.receiver_trial import TrialFailed, trial
from tests.whole.documents import blocks

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/howto/receive-callbacks.md"


async def run(kind: str, folder: Path) -> list[str]:
    """The steps that went well. The Python receivers run with what the tests have installed."""
    async with trial(kind, folder, python=sys.executable) as it:
        return [step async for step in it.steps()]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_receiver_keeps_what_is_real_does_it_once_and_refuses_the_rest(
    kind: str, tmp_path: Path
) -> None:
    try:
        steps = await run(kind, tmp_path)
    except Unavailable as missing:
        if kind in PYTHON_KINDS:
            raise
        pytest.skip(str(missing))
    assert len(steps) == 6


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "found"),
    [
        (
            "aiohttp",
            'mine = (event["callerId"], event["callbackUrl"]) == (CALLER, URL)',
            "mine = True",
            "for another caller, with our secret",
        ),
        (
            "v1a",
            '(event.get("callerId"), event.get("callbackUrl")) == (CALLER, URL)',
            "bool(event)",
            "by the service, for another URL",
        ),
        (
            "v1a",
            '(event.get("callerId"), event.get("callbackUrl")) == (CALLER, URL)',
            'event.get("callbackUrl") == URL',
            "by the service, for another caller",
        ),
        ("aiohttp", "(WebhookVerificationError, ValueError)", "WebhookVerificationError", "500"),
        # It remembers first and works then: what failed is never done.
        (
            "aiohttp",
            "work(json.loads(event))",
            "inbox.execute('UPDATE inbox SET done = 1'), work(json.loads(event))",
            "the work for",
        ),
        # It does not know a repetition.
        ("aiohttp", "ON CONFLICT DO NOTHING", "ON CONFLICT DO UPDATE SET done = 0", "done was"),
    ],
)
async def test_a_receiver_that_does_less_is_found_out(
    kind: str, right: str, wrong: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "examples"
    shutil.copytree(ROOT / "examples/receivers" / kind, source / kind)
    file = source / kind / "receiver.py"
    text = file.read_text("utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong), "utf-8")
    monkeypatch.setattr(receiver_kinds, "EXAMPLES", source)
    monkeypatch.setattr("scripts.outside.receiver_trial.SECONDS", 3.0)
    folder = tmp_path / "trial"
    folder.mkdir()
    with pytest.raises(TrialFailed, match=found):
        await run(kind, folder)


def test_the_page_shows_each_receiver_as_it_is() -> None:
    shown = {
        block.mark.removeprefix("file: "): block.text
        for block in blocks(PAGE)
        if block.mark.startswith("file: examples/")
    }
    files = [next((ROOT / "examples/receivers" / kind).glob("receiver.*")) for kind in KINDS]
    assert shown == {
        str(file.relative_to(ROOT)): file.read_text("utf-8").rstrip("\n") for file in files
    }
