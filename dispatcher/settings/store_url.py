"""The URL of the store: what it may be, and what it names."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from dispatcher.core.errors import SettingsError

POSTGRES_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_POSTGRES_FORM: Final = "postgresql://user:password@host:5432/dispatcher"


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
    """Refuse what can't work on PostgreSQL; `keyed`: there is a key to seal secrets with.

    No part of the URL is quoted: what looks like a host, a port or a name may be a password.
    """
    try:
        parts = urlsplit(store)
    except ValueError:
        raise SettingsError(f"store: the URL is not one of a host: {_POSTGRES_FORM}") from None
    if "@" in parts.path or "#" in store or "@" in parts.query.partition("=")[0]:
        raise SettingsError(
            "store: the URL has an @ behind its host, or a #. What has a meaning of its own in a "
            "URL is percent-encoded in a user, a password or a name: / is %2F, @ is %40, : is %3A, "
            "# is %23, ? is %3F, % is %25"
        )
    if not all(map(_is_host, parts.netloc.rpartition("@")[2].split(","))):
        raise SettingsError(f"store: behind the host comes a port, in digits: {_POSTGRES_FORM}")
    if parts.path in {"", "/"}:
        raise SettingsError(
            f"store: a URL of PostgreSQL ends with the name of a database: {_POSTGRES_FORM}"
        )
    if not keyed:
        raise SettingsError(
            "secret_key must be set on PostgreSQL (DISPATCHER_SECRET_KEY), the same for every "
            "process: `dsk_` and 32 random bytes in base64url, such as this makes: "
            "python3 -c 'import secrets; print(\"dsk_\" + secrets.token_urlsafe(32))'"
        )


def _is_host(place: str) -> bool:
    """Whether it is a host with or without a port, rather than a user and a password."""
    _, colon, port = place.rpartition("]")[2].rpartition(":")
    return not colon or not port or (port.isascii() and port.isdigit())


def shown(store: str) -> str:
    """The store as it may be shown: without a password."""
    return str(database_of(store)) if is_sqlite(store) else postgres_shown(store)


def postgres_shown(url: str) -> str:
    """The same of a URL of PostgreSQL, which may name its host as an option (a socket's folder)."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", [""])[-1]
    return f"postgresql://{place}{parts.path}"
