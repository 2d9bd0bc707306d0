"""What a doctor looks at, without making or changing anything."""

from __future__ import annotations

from msgspec import Struct

from dispatcher.adapters.postgres.connection import Address, Connector, Patience, let_go
from dispatcher.adapters.postgres.errors import TROUBLE
from dispatcher.adapters.postgres.schema import Applied, migrations
from dispatcher.adapters.postgres.statements import statement

_SERVER = statement("server")
_THERE = statement("schema_there")
_APPLIED = statement("schema_applied")
_STANDBYS = statement("standbys")


class Look(Struct, frozen=True):
    """How a database stands.

    `version` is PostgreSQL's (160002 is 16.2). `schema` is the latest migration that was made, None
    without our schema; `newest` the latest that this version knows; `refused`: a later one
    took away what this version uses. `standbys` are connected;
    `waits_for_standbys`: a commit is confirmed only once one of them has it. `connections` may be
    open at once, of all users.
    """

    version: int
    synchronous_commit: str
    schema: int | None
    newest: int
    refused: bool
    standbys: int
    waits_for_standbys: bool
    connections: int


async def look(url: str) -> Look:
    """Look at a database. Raises `StoreError`."""
    connector = Connector(Address.parse(url), Patience())
    connection = await connector.connect()
    try:
        server = await connection.fetchrow(_SERVER)
        there = await connection.fetchval(_THERE)
        applied = await connection.fetch(_APPLIED) if there else []
        standbys = await connection.fetchrow(_STANDBYS)
    except TROUBLE as error:
        raise connector.failure(error) from error
    finally:
        await let_go(connection)
    version, commits = server or (0, "")
    count, names, most = standbys or (0, "", 0)
    made = {row["number"]: Applied(row["mark"], row["name"]) for row in applied}
    newest = migrations()[-1].number
    return Look(
        version=version,
        synchronous_commit=commits,
        schema=max(made, default=None),
        newest=newest,
        refused=any(one.takes_away for number, one in made.items() if number > newest),
        standbys=count,
        waits_for_standbys=bool(names.strip()) and commits != "local",
        connections=most,
    )
