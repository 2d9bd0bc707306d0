"""`callers limits` and `audit`; and that commands stand in the audit log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.cli.main import main
from dispatcher.cli.opening import opened
from dispatcher.core.audit import CLI, AuditEntry
from dispatcher.ports.audit import AuditFilter
from dispatcher.settings import Settings
from tests.cli.scripted import Reply, Scripted, serving
from tests.cli.test_rotation import Capture, done, failed, said

NOTHING = {"rate": None, "jobsWaiting": None, "bytesWaiting": None, "bodyBytes": None}


def log() -> list[AuditEntry]:
    async def look() -> tuple[AuditEntry, ...]:
        async with opened(Settings()) as both:
            page = await both.store.list_audit(AuditFilter(), limit=100, before=None)
            return page.items

    return list(reversed(asyncio.run(look())))


@pytest.fixture
def shop(capsys: Capture) -> Any:
    assert main(["callers", "create", "shop"]) == 0
    capsys.readouterr()
    return done(capsys, "callers", "list")["items"][0]


def test_limits_are_shown_set_and_taken_away(capsys: Capture, shop: Any) -> None:
    assert shop["limits"] == NOTHING
    assert "nothing is set" in said(capsys, "callers", "limits", "shop")
    found = done(capsys, "callers", "limits", "shop", "--rate", "600/60", "--jobs-waiting", "10000")
    rate = {"requests": 600, "windowSeconds": 60}
    assert found == {
        "callerId": shop["id"],
        "limits": {**NOTHING, "rate": rate, "jobsWaiting": 10_000},
        "schedule": None,
    }
    text = said(
        capsys, "callers", "limits", shop["id"], "--schedule", "0,2.5,300", "--body-bytes", "99"
    )
    assert text.splitlines()[1:] == [
        "  limit   600 submissions in 60 s",
        "  limit   10000 jobs waiting",
        "  limit   99 bytes a submission",
        "  callbacks after 0, 2.5, 300 s",
    ]
    assert "600 submissions in 60 s" in said(capsys, "callers", "list")
    found = done(capsys, "callers", "limits", "shop", "--rate", "default", "--bytes-waiting", "5")
    assert found["limits"] == {
        "rate": None,
        "jobsWaiting": 10_000,
        "bytesWaiting": 5,
        "bodyBytes": 99,
    }
    assert found["schedule"] == [0, 2.5, 300]
    assert done(capsys, "callers", "limits", "shop") == found


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rate", "600"),
        ("--rate", "0/60"),
        ("--rate", "1/0"),
        ("--rate", "x/y"),
        ("--jobs-waiting", "0"),
        ("--jobs-waiting", "-1"),
        ("--jobs-waiting", "many"),
        ("--bytes-waiting", "9" * 20),
        ("--body-bytes", "1.5"),
        ("--schedule", ""),
        ("--schedule", "0,-1"),
        ("--schedule", "nan"),
    ],
)
def test_what_can_not_be_set(capsys: Capture, shop: Any, flag: str, value: str) -> None:
    assert flag in failed(capsys, "callers", "limits", "shop", flag, value, code=2)
    assert done(capsys, "callers", "limits", "shop")["limits"] == NOTHING


def test_the_limits_of_an_unknown_caller_are_refused(capsys: Capture) -> None:
    done(capsys, "migrate")
    assert "no caller 'nobody'" in failed(capsys, "callers", "limits", "nobody")


def test_what_commands_do_stands_in_the_audit_log(capsys: Capture, shop: Any) -> None:
    key = done(capsys, "callers", "keys", "create", "shop", "--role", "worker")
    done(capsys, "callers", "limits", "shop", "--jobs-waiting", "5")
    done(capsys, "callers", "limits", "shop")  # it shows them alone
    done(capsys, "callers", "keys", "revoke", "shop", key["id"])
    done(capsys, "callers", "rotate-secret", "shop")
    own = done(capsys, "keys", "rotate")
    failed(capsys, "callers", "create", "shop")
    entries = log()
    assert [(each.action, each.target, each.caller_id) for each in entries] == [
        ("caller.create", shop["id"], shop["id"]),
        ("key.create", key["id"], shop["id"]),
        ("caller.change", shop["id"], shop["id"]),
        ("key.revoke", key["id"], shop["id"]),
        ("secret.rotate", shop["id"], shop["id"]),
        ("service-key.rotate", own["key"]["kid"], None),
    ]
    assert {each.actor for each in entries} == {CLI}
    assert key["apiKey"].encode() not in b"".join(each.detail for each in entries)


# --- audit -------------------------------------------------------------------------------------

ENTRY = {
    "id": "aud_1",
    "at": "2026-01-31T12:00:00.000Z",
    "action": "key.revoke",
    "target": "key_1",
    "callerId": "clr_1",
    "actor": {"via": "api", "callerId": "clr_2", "keyId": "key_2", "address": "10.0.0.7"},
    "requestId": "req_1",
    "detail": {},
}
BY_COMMAND = {
    **ENTRY,
    "target": "\x1b[2Jodd",
    "actor": {"via": "cli", "callerId": None, "keyId": None, "address": None},
}


def test_the_log_is_listed(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Scripted(Reply(200, {"items": [ENTRY, BY_COMMAND], "nextCursor": None}))) as there:
        monkeypatch.setenv("DISPATCHER_URL", there.url)
        monkeypatch.setenv("DISPATCHER_API_KEY", "dsp_key")
        text = said(capsys, "audit", "--action", "key.revoke", "--actor", "clr_2", "--limit", "5")
        assert text.splitlines() == [
            "2026-01-31T12:00:00.000Z key.revoke key_1 by clr_2 with key_2 from 10.0.0.7",
            "2026-01-31T12:00:00.000Z key.revoke \N{REPLACEMENT CHARACTER}[2Jodd by cli",
        ]
        assert there.seen[0].path == "/v1/audit?action=key.revoke&actorId=clr_2&limit=5"
        assert done(capsys, "audit") == [ENTRY, BY_COMMAND]
