"""What became of a COMMIT whose answer was lost with the connection.

First it is awaited: as long as the server calls the transaction `in progress`, it may still be
committed (it waits for a standby, or the COMMIT is still on its way). Then what it wrote is looked
for by id and token. That it says `committed` is believed only where there is nothing to look for:
after a crash or a fail-over the same number may be another transaction's.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from dispatcher.adapters.postgres.connection import Connector, let_go
from dispatcher.adapters.postgres.errors import TROUBLE
from dispatcher.adapters.postgres.session import Kind, Witness
from dispatcher.adapters.postgres.statements import statement
from dispatcher.core.errors import StoreError, StoreUnavailable

_STATUS = statement("xact_status")
_BEGIN_READ = statement("begin_read")
_ROLLBACK = statement("rollback")
_LOOK: Final[dict[Kind, str]] = {
    Kind.JOB: statement("witness_job"),
    Kind.EVENT: statement("witness_event"),
    Kind.ATTEMPT: statement("witness_attempt"),
    Kind.JOB_LEASE: statement("witness_job_lease"),
    Kind.DELIVERY_LEASE: statement("witness_delivery_lease"),
    Kind.BULK: statement("witness_bulk"),
    Kind.ERASED: statement("witness_erased"),
    Kind.ENDPOINT: statement("witness_endpoint"),
}

_NO_ANSWER: Final = (StoreError, *TROUBLE)

FIRST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.5


async def was_committed(connector: Connector, xid: int, witnesses: list[Witness]) -> bool:
    """Whether a transaction was committed; waits until that is certain.

    Raises `StoreUnavailable` if it is not known after `outcome_seconds`.
    """
    until = asyncio.get_running_loop().time() + connector.patience.outcome_seconds
    pause = FIRST_PAUSE_SECONDS
    why = "it is still under way"
    connection: asyncpg.Connection | None = None
    try:
        while asyncio.get_running_loop().time() < until:
            try:
                if connection is None or connection.is_closed():
                    connection = await connector.connect_to_serve()
                stands = await _ask(connector, connection, xid, witnesses)
            except _NO_ANSWER as error:
                why = str(error)
                if connection is not None:
                    connection.terminate()
            else:
                if stands is not None:
                    return stands
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
    finally:
        if connection is not None:
            await let_go(connection)
    raise StoreUnavailable(
        f"The connection to {connector.address.shown} was lost during a commit, and whether it "
        f"stands could not be found out in time ({why}): look before you repeat what you asked."
    )


async def _ask(
    connector: Connector, connection: asyncpg.Connection, xid: int, witnesses: list[Witness]
) -> bool | None:
    """Whether it was committed; None while it is under way."""
    status = await _status(connector, connection, xid)
    if status == "in progress":
        return None
    if not witnesses:
        return status == "committed"
    witness = witnesses[0]  # one stands for all: they were one transaction
    await connection.execute(connector.begin(_BEGIN_READ))
    try:
        tokens = (witness.token,) if witness.token else ()
        return await connection.fetchrow(_LOOK[witness.kind], witness.id, *tokens) is not None
    finally:
        await connection.execute(_ROLLBACK)


async def _status(connector: Connector, connection: asyncpg.Connection, xid: int) -> str | None:
    await connection.execute(connector.begin(_BEGIN_READ))
    try:
        status: str | None = await connection.fetchval(_STATUS, xid)
    except asyncpg.InvalidParameterValueError:
        status = None  # a server that never saw that number: its predecessor took it along
    finally:
        await connection.execute(_ROLLBACK)
    return status
