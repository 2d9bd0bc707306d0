"""What PostgreSQL's errors mean: for the whole store, for one item alone, or to be tried again."""

from __future__ import annotations

from enum import Enum
from typing import Final

import asyncpg

from dispatcher.core.errors import SchemaMismatch, StoreCorrupt, StoreError, StoreUnavailable


class Meaning(Enum):
    """What an error says of the transaction that met it. None of them was committed."""

    ITEM = "item"
    """One of the items is at fault: the others may be tried without it."""
    CROSSED = "crossed"
    """It crossed another transaction: the same may be tried again at once."""
    LOST = "lost"
    """The connection is gone: the same may be tried again on another."""
    HELD = "held"
    """Somebody holds a lock for long: what does not want it may be tried without the rest."""
    STORE = "store"
    """The store can't be used now, whatever is asked."""


class RowHeld(Exception):
    """Somebody changes a row, and may be waiting for what this transaction holds already."""


# SQLSTATEs (PostgreSQL's documentation, appendix A).
_CROSSED: Final = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_HELD: Final = "55P03"  # lock_not_available: nothing asks with NOWAIT, so a wait took too long
_CORRUPT: Final = frozenset({"XX001", "XX002"})  # data_corrupted, index_corrupted
# No such schema, table, column, function, type.
_OTHER_SCHEMA: Final = frozenset({"3F000", "42P01", "42703", "42883", "42704"})
_POOLER: Final = frozenset({"26000", "42P05"})  # a prepared statement is another's, or gone
_NO_PARAMETER: Final = "unsupported startup parameter"  # PgBouncer's words, as a 08P01
_LOST_CLASSES: Final = frozenset({"08", "57P01", "57P02", "57P05", "25P03", "25P04"})
_STORE_CLASSES: Final = frozenset({"53", "57", "58", _HELD, "25006", "28", "3D000", "42501"})
_ADVICE: Final[dict[str, str]] = {
    "53100": "its disk is full: make room",
    "53300": "it has no connection left: raise max_connections, or lower postgres_connections",
    "57014": "a statement took too long: look at its load",
    "57P03": "it is starting up or shutting down",
    _HELD: "a lock was held for too long: look for a transaction that stays open",
    "25006": "it is a standby, or read-only: the address must lead to the primary",
    "28P01": "the password is wrong",
    "28000": "it refuses this user: look at pg_hba.conf",
    "3D000": "there is no such database: make it with createdb",
    "42501": "this user lacks a right: it must own the schema `dispatcher`",
}
NO_CONNECTION: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a statement that met the server's parting words
)
"""What the driver raises when the connection is gone, or of no more use."""

TROUBLE: Final = (*NO_CONNECTION, asyncpg.PostgresError)
"""All that the driver raises."""


def meaning(error: BaseException) -> Meaning:
    """What an error says of the transaction that met it before its COMMIT was sent."""
    if isinstance(error, StoreError):
        return Meaning.STORE
    if isinstance(error, asyncpg.exceptions.DataError) and sqlstate(error) is None:
        return Meaning.ITEM  # a value that the client could not even send
    if isinstance(error, NO_CONNECTION) and not isinstance(error, ValueError):
        return Meaning.STORE if isinstance(error, TimeoutError) else Meaning.LOST
    # Rolled back, it lets whoever waits for it go on; or a migration added columns, and by now the
    # driver has forgotten what it knew.
    if isinstance(error, RowHeld | asyncpg.InvalidCachedStatementError):
        return Meaning.CROSSED
    code = sqlstate(error)
    if code is None:
        return Meaning.ITEM
    if code in _CROSSED:
        return Meaning.CROSSED
    if code[:2] in _LOST_CLASSES or code in _LOST_CLASSES:
        return Meaning.LOST
    if code == _HELD:
        return Meaning.HELD
    if whole_store(error, "") is not None:
        return Meaning.STORE
    return Meaning.ITEM


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE that the server gave; None without one."""
    code = getattr(error, "sqlstate", None)
    # asyncpg gives some errors of its own a state by their class; a server's has a severity too.
    given = getattr(error, "severity", None) is not None
    return code if isinstance(code, str) and (given or code[:2] == "08") else None


def whole_store(error: BaseException, shown: str) -> StoreError | None:
    """The error to raise if it is about the whole store; None: about the item that met it.

    `shown` is the database as it may be shown: without a password.
    """
    if isinstance(error, StoreError):
        return error
    code = _HELD if isinstance(error, RowHeld) else sqlstate(error)
    if code is None:
        if isinstance(error, NO_CONNECTION) and not isinstance(error, ValueError):
            why = str(error) or type(error).__name__
            return StoreUnavailable(
                f"The database {shown} does not answer ({why}): see that PostgreSQL runs, and that "
                "its address is right."
            )
        return None
    if code in _CORRUPT:
        return StoreCorrupt(
            f"The database {shown} is damaged ({error}): stop the service, and restore a backup."
        )
    if code in _OTHER_SCHEMA:
        return SchemaMismatch(
            f"The database {shown} has not the schema that this version needs ({error}): run "
            "`dispatcher migrate`, or the version that wrote it."
        )
    if code in _POOLER:
        return StoreUnavailable(
            f"The database {shown} lost a prepared statement ({error}): behind a pooler of "
            "transactions such as PgBouncer, add ?pgbouncer=true to the URL of the store."
        )
    if code == "08P01" and _NO_PARAMETER in str(error):
        return StoreUnavailable(
            f"A pooler before {shown} refuses the service's settings ({error}): add "
            "?pgbouncer=true to the URL of the store, whatever the pooler's mode."
        )
    if code[:2] in _STORE_CLASSES | _LOST_CLASSES or code in _STORE_CLASSES or code in _CROSSED:
        advice = _ADVICE.get(code, "look at its log")
        return StoreUnavailable(f"The database {shown} can't be used now: {advice} ({error}).")
    return None


def ends_connection(error: BaseException) -> bool:
    """Whether the connection that met this error is of no more use."""
    code = sqlstate(error)
    if code is None:
        return not isinstance(error, ValueError | RowHeld)
    return code == "25006" or code[:2] in {"08", "XX"} or code.startswith("57P")
