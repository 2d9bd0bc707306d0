"""The URL of the store: what it names, what of it may be shown, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatcher.core.errors import SettingsError
from dispatcher.settings import Settings

# --- SQLite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///dispatcher.db", "dispatcher.db"),
        ("sqlite:///data/jobs.db", "data/jobs.db"),
        ("sqlite:////var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:///my jobs.db", "my jobs.db"),
    ],
)
def test_the_file_of_a_store(url: str, path: str) -> None:
    settings = Settings(store=url)
    assert (settings.database, settings.store_shown) == (Path(path), path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dispatcher.db",
        "/var/jobs.db",
        "sqlite:dispatcher.db",
        "sqlite://dispatcher.db",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///folder/",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a.db#x",
        "sqlite:///a\0.db",
        "sqlite:///:memory:",
        "mysql://user:hunter2@host/db",
        "sqlite+x:///a.db",
    ],
)
def test_a_store_that_is_no_sqlite_file_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^store") as caught:
        Settings(store=url)
    assert "hunter2" not in str(caught.value)


# --- PostgreSQL --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://user:hun/ter2@host:5432/db", "percent-encoded"),
        ("postgresql://user:12/hunter2@host:5432/db", "percent-encoded"),
        ("postgresql://user:hunter2/db", "a port, in digits"),
        ("postgresql://user:hunter2,b/db", "a port, in digits"),
        ("postgresql://user:\u0661\u0662/db", "a port, in digits"),
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


@pytest.mark.parametrize("end", ["", "/"])
def test_postgresql_needs_the_name_of_a_database(end: str) -> None:
    with pytest.raises(SettingsError, match="ends with the name of a database") as caught:
        Settings(store=f"postgresql://user:hunter2@db{end}", dev=True)
    assert "hunter2" not in str(caught.value)
