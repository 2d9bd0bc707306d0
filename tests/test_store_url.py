"""The URL of a store on PostgreSQL: what of it may be shown, and what is refused."""

from __future__ import annotations

import re

import pytest

from dispatcher.core.errors import SettingsError
from dispatcher.settings import Settings


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://user:hun/ter2@host:5432/db", "percent-encoded"),
        ("postgresql://user:12/hunter2@host:5432/db", "percent-encoded"),
        ("postgresql://user:hunter2/db", "a port, in digits"),
        ("postgresql://user:hunter2,b/db", "a port, in digits"),
        ("postgresql://user:hun#ter2@host/db", "percent-encoded"),
        ("postgresql://user:12?hunter2@host/db", "percent-encoded"),
        ("postgresql://user:12/hun#ter2@host/db", "percent-encoded"),
        ("postgresql://user:12/hun?ter2@host/db", "percent-encoded"),
        ("postgresql://user:hunter2@[host/db", "not one of a host"),
    ],
)
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(
    url: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings(store=url, dev=True)
    assert not {"hun", "ter2", "hunter2"} & set(re.split(r"\W+", str(caught.value)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:hun%2Fter2@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://user:p@a:1,b:2/db", "postgresql://a:1,b:2/db"),
        ("postgresql://user:@/db?host=/run/pg", "postgresql:///run/pg/db"),
        ("postgresql://host/db?user=a@b", "postgresql://host/db"),
    ],
)
def test_a_store_on_postgresql_is_shown_by_its_place(url: str, shown: str) -> None:
    assert Settings(store=url, dev=True).store_shown == shown
