"""No setting promises more than the core allows, whatever is set."""

from __future__ import annotations

import pytest

from dispatcher.core.errors import SettingsError
from dispatcher.core.retry import MAX_SCHEDULE_ENTRIES, MAX_WAIT_SECONDS
from dispatcher.core.urls import MAX_URL_LENGTH
from dispatcher.settings import parse_settings


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("url_characters", MAX_URL_LENGTH),
        ("schedule_entries", MAX_SCHEDULE_ENTRIES),
        ("schedule_seconds", MAX_WAIT_SECONDS),
    ],
)
def test_a_limit_goes_as_far_as_the_core_and_no_further(name: str, most: int) -> None:
    env = f"DISPATCHER_LIMIT_{name.upper()}"
    settings = parse_settings(environ={env: str(most)}).settings
    assert getattr(settings.limits, name) == most
    with pytest.raises(SettingsError) as caught:
        parse_settings(environ={env: str(most + 1)})
    assert str(caught.value).startswith(f"{env}: limit_{name} ")
    assert f"<= {most}" in str(caught.value)
