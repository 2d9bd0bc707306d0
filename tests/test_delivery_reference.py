"""The page of the delivery rules tells the figures and the codes that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from dispatcher.adapters.sender.dial import _DIALLED_ADDRESSES
from dispatcher.adapters.sender.terms import SenderTerms
from dispatcher.core.lifecycle import DELIVERY_LIFE_MS, UNKNOWN_ATTEMPTS
from dispatcher.core.outcome import NotSent
from dispatcher.core.retry import DEFAULT_SCHEDULE_SECONDS, MAX_JITTER, RETRY_AFTER_CAP_MS
from dispatcher.engine.deliver import UNPREPARED_MS

PAGE = Path(__file__).parents[1] / "docs/reference/delivery.md"
TEXT = PAGE.read_text("utf-8")
UNITS = {"h": 3_600, "min": 60, "s": 1}


def cells(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    under = TEXT.partition(f"## {heading}\n")[2]
    table = re.findall(r"^\|(.*)\|$", under.partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in table[2:]]


def seconds(text: str) -> int:
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+) (h|min|s)\b", text))


def test_the_page_has_the_default_schedule() -> None:
    rows = cells("When it is tried again")
    assert tuple(seconds(wait) for _, wait, _ in rows) == DEFAULT_SCHEDULE_SECONDS
    at = [sum(DEFAULT_SCHEDULE_SECONDS[: n + 1]) for n in range(len(rows))]
    shown = [seconds(since) for _, _, since in rows]
    # From the first minute on the page leaves seconds out.
    assert [each // 60 for each in shown] == [int(each) // 60 for each in at]
    assert shown[:2] == at[:2]
    assert f"up to {MAX_JITTER:.0%}".replace("%", " %") in TEXT


def test_the_page_has_the_bounds_of_an_attempt() -> None:
    terms = SenderTerms()
    bounds = " ".join(bound for _, bound, *_ in cells("Bounds"))
    for each in (
        f"{terms.total_seconds:g} s",
        f"{terms.connect_seconds:g} s",
        f"{_DIALLED_ADDRESSES};",
        f"{terms.head_bytes // 1024} KiB",
        f"{terms.read_bytes // 1024} KiB",
        f"{terms.kept_bytes // 1024} KiB",
        f"{terms.idle_seconds:g} s idle",
    ):
        assert each in bounds, each
    assert f"{RETRY_AFTER_CAP_MS // 3_600_000} hours from now at most" in TEXT
    assert f"{DELIVERY_LIFE_MS // 86_400_000} days since it was made" in TEXT
    assert (UNKNOWN_ATTEMPTS, "three times running" in TEXT) == (3, True)
    assert f"{UNPREPARED_MS // 1000} seconds later" in TEXT


def test_the_codes_of_attempts() -> None:
    listed = {code.strip("`") for code, *_ in cells("What an attempt says")}
    of_the_sender = set(
        re.findall(r"`([a-z-]+)`", (NotSent.__doc__ or "").partition("code` is")[2])
    )
    assert listed == of_the_sender - {"status_code"} | {"status", "gone", "any other"}
