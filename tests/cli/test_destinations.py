"""`dispatcher destinations`: what it asks, and what it prints."""

from __future__ import annotations

import pytest

from dispatcher.cli.main import main
from tests.cli.conftest import Play
from tests.cli.scripted import Reply

SHOP = {
    "id": "dst_1",
    "callerId": "clr_1",
    "origin": "https://shop.example",
    "endpointId": None,
    "state": "active",
    "pausedAt": None,
    "breaker": {"state": "open", "openUntil": "2026-01-31T09:30:00.000Z"},
    "urlsInTrouble": 2,
    "sending": 1,
    "pending": 7,
    "due": 7,
    "oldestDueAt": None,
}


def test_the_list_is_a_line_for_each_destination(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    service = play(Reply(200, {"items": [SHOP], "nextCursor": None}))
    assert main(["destinations", "list", "--caller", "clr_1"]) == 0
    assert capsys.readouterr().out == (
        "dst_1 active breaker open until 2026-01-31T09:30:00.000Z 7 pending, 1 sending "
        "(2 URLs in trouble) https://shop.example of clr_1\n"
    )
    (seen,) = service.seen
    assert sorted(seen.path.partition("?")[2].split("&")) == ["callerId=clr_1", "limit=20"]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_each_is_asked_for(play: Play, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = play(Reply(200, SHOP))
    assert main(["destinations", verb, "dst_1", "dst_2"]) == 0
    assert [(seen.method, seen.path) for seen in service.seen] == [
        ("POST", f"/v1/destinations/dst_1/{verb}"),
        ("POST", f"/v1/destinations/dst_2/{verb}"),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["destinations", verb]) == 2
