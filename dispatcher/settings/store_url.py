"""The URL of the store: what it may be, and what it names."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dispatcher.core.errors import SettingsError

POSTGRES_SCHEMES: Final = frozenset({"postgresql", "postgres"})


def is_sqlite(store: str) -> bool:
    """Whether the store is an SQLite file, or wants to be one."""
    return store.partition("://")[0] not in POSTGRES_SCHEMES


def database_of(store: str) -> Path:
    """The SQLite file that `store` names; raises `SettingsError` if it names none."""
    scheme, found, path = store.partition("://")
    # A URL of another kind may hold a password: only its scheme is shown.
    if not found or scheme != "sqlite":
        raise SettingsError(
            "store must be a URL such as sqlite:///dispatcher.db (a file in the working folder) or "
            f"sqlite:////var/lib/dispatcher.db (absolute), or postgresql://user:password@host/name"
            f"{f', not {scheme}://…' if found else ''}"
        )
    name = path.removeprefix("/")
    if name == path or not name or name.endswith("/") or {"?", "#", "\0"} & set(name):
        raise SettingsError(
            "store: after sqlite:// come a slash and the path of a file, and nothing after it: "
            "sqlite:///dispatcher.db, or sqlite:////var/lib/dispatcher.db"
        )
    if name == ":memory:":
        raise SettingsError("store: nothing accepted may be lost, so the store must be a file")
    return Path(name)


def check_postgres(store: str, *, keyed: bool) -> None:
    """Refuse what can't work on PostgreSQL; `keyed`: there is a key to seal secrets with."""
    if urlsplit(store).path in {"", "/"}:
        raise SettingsError(
            "store: a URL of PostgreSQL ends with the name of a database: "
            "postgresql://user:password@host:5432/dispatcher"
        )
    if not keyed:
        raise SettingsError(
            "secret_key must be set on PostgreSQL (DISPATCHER_SECRET_KEY), the same for every "
            "process: `dsk_` and 32 random bytes in base64url, such as this makes: "
            "python3 -c 'import secrets; print(\"dsk_\" + secrets.token_urlsafe(32))'"
        )


def shown(store: str) -> str:
    """The store as it may be shown: without a password."""
    if is_sqlite(store):
        return str(database_of(store))
    parts = urlsplit(store)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
