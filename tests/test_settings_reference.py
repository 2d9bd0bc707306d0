"""The reference page of the settings, compared with the code."""

from __future__ import annotations

import math
import typing
from pathlib import Path
from typing import Any

import msgspec

from dispatcher.core.limits import Limits
from dispatcher.core.retry import Schedule
from dispatcher.settings import SETTINGS, Setting

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"


def described(setting: Setting) -> str:
    default = shown(setting.default)
    return f"| `{setting.name}` | {default} | {bounds(setting)} | {setting.description} |"


def shown(default: object) -> str:
    match default:
        case None | ():
            return ""
        case bool():
            return "`true`" if default else "`false`"
        case Schedule(seconds=seconds):
            return "`[" + ", ".join(f"{each:g}" for each in seconds) + "]`"
        case str():
            return f'`"{default}"`'
        case _:
            return f"`{default}`"


def bounds(setting: Setting) -> str:
    inner, meta = typing.get_args(setting.type)[:2]
    if typing.get_origin(inner) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(inner))
    if meta.ge is None:
        return kind_of(inner)
    return f"{meta.ge:,} to {meta.le:,}"


def kind_of(inner: Any) -> str:
    kinds = {bool: "`true` or `false`", Schedule: "list of seconds", tuple[str, ...]: "list"}
    return kinds.get(inner, "text")


def reference_tables() -> tuple[str, str]:
    head = "| setting | default | range | what it does |\n|---|---|---|---|\n"
    own = [s for s in SETTINGS if not s.name.startswith("limit_")]
    limits = [s for s in SETTINGS if s.name.startswith("limit_")]
    return head + "\n".join(map(described, own)), head + "\n".join(map(described, limits))


def test_the_reference_page_lists_every_setting_as_it_is() -> None:
    page = REFERENCE.read_text("utf-8")
    for table in reference_tables():
        assert table in page, f"docs/reference/settings.md must hold this table:\n{table}"


def test_every_setting_has_a_description_and_bounds_if_it_is_a_number() -> None:
    for setting in SETTINGS:
        assert setting.description.endswith("."), setting.name
        if isinstance(setting.default, int | float) and not isinstance(setting.default, bool):
            meta = setting.type.__metadata__[0]
            assert meta.ge is not None, setting.name
            assert math.isfinite(meta.le), setting.name
            assert meta.ge <= setting.default <= meta.le, setting.name


def test_every_limit_is_a_setting() -> None:
    names = {s.name for s in SETTINGS}
    assert {f"limit_{field.name}" for field in msgspec.structs.fields(Limits)} <= names
