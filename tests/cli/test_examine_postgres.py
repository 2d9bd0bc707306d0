"""What `dispatcher check` says of a PostgreSQL server, by how it stands."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.adapters.postgres import looking
from dispatcher.cli.examine_postgres import examine_postgres
from dispatcher.cli.findings import Level
from dispatcher.settings import Settings

WELL = looking.Look(
    version=180_001,
    synchronous_commit="on",
    schema=7,
    newest=7,
    refused=False,
    standbys=1,
    waits_for_standbys=True,
    connections=100,
)
SETTINGS = Settings(store="postgresql://u:p@db/d", processes=2, dev=True)


def findings(monkeypatch: pytest.MonkeyPatch, found: looking.Look) -> dict[str, Level]:
    async def look(_: str) -> looking.Look:
        return found

    monkeypatch.setattr(looking, "look", look)
    return {each.check: each.level for each in examine_postgres(SETTINGS)}


def test_one_that_stands_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, WELL) == {"database": Level.OK}
    assert findings(monkeypatch, replace(WELL, version=150_000)) == {"database": Level.OK}


@pytest.mark.parametrize(
    ("found", "check", "level"),
    [
        (replace(WELL, version=149_999), "server", Level.WARN),
        (replace(WELL, synchronous_commit="off"), "commits", Level.FAIL),
        (replace(WELL, waits_for_standbys=False), "standby", Level.WARN),
        (replace(WELL, connections=20), "connections", Level.WARN),
        (replace(WELL, schema=None), "database", Level.WARN),
        (replace(WELL, schema=6), "database", Level.FAIL),
        (replace(WELL, refused=True), "database", Level.FAIL),
    ],
)
def test_each_thing_amiss_is_one_finding_more(
    monkeypatch: pytest.MonkeyPatch, found: looking.Look, check: str, level: Level
) -> None:
    assert findings(monkeypatch, found) == {"database": Level.OK} | {check: level}
