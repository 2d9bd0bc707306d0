"""What `dispatcher check` finds."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at: what was found, and what to do about it."""

    check: str
    level: Level
    detail: str
    advice: str | None = None
