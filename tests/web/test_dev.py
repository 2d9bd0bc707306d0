"""`--dev`: who may call without a key, and the inbox."""

from __future__ import annotations

import pytest

from dispatcher.core.signature import sign
from dispatcher.testing.clock import NOON
from tests.web.edge import DEV, Edge

ECHO = {"type": "dispatcher.echo", "input": 1}


async def test_without_a_key_everything_is_done_as_dev(dev_edge: Edge) -> None:
    answer = await dev_edge.call("POST", "/v1/jobs", json=ECHO, key=None)
    assert (answer.status, answer.json["callerId"]) == (202, DEV.caller.id)
    await dev_edge.submit(ECHO, key="dsp_ada")
    listed = await dev_edge.call("GET", "/v1/jobs", key=None)
    assert len(listed.json["items"]) == 2  # dev is an operator too
    assert (await dev_edge.call("GET", "/v1/types", key=None)).status == 200


async def test_a_key_still_counts(dev_edge: Edge) -> None:
    assert (await dev_edge.submit(ECHO)).json["callerId"] != DEV.caller.id
    assert (await dev_edge.call("GET", "/v1/types")).status == 403
    assert (await dev_edge.call("GET", "/v1/jobs", key="dsp_nobody")).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "LOCALHOST:8080"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.1.2.3"},
        {"Host": "[::1]:8080"},
        {"Host": "localhost:8080", "Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_this_machine_needs_no_key(dev_edge: Edge, headers: dict[str, str]) -> None:
    assert (await dev_edge.call("GET", "/v1/jobs", key=None, headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding
        {"Host": "abc.tunnel.example:443"},
        {"Host": "localhost.evil.example"},
        {"Host": "evil.localhost"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.1"},
        {"Host": "0.0.0.0"},
        {"Host": "10.0.0.1"},
        {"Host": "[::ffff:10.0.0.1]"},
        {"Host": "localhost:80:80"},
        {"Host": "user@localhost"},
        {"Host": ""},
        {"Forwarded": "for=10.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"x-forwarded-whatever": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "localhost:8080", "Origin": "http://localhost:3000"},
        {"Host": "localhost:8080", "Origin": "https://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/dev/inbox"), ("POST", "/dev/inbox")],
)
async def test_what_comes_from_elsewhere_needs_one(
    dev_edge: Edge, headers: dict[str, str], method: str, path: str
) -> None:
    answer = await dev_edge.call(method, path, key=None, headers=headers)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "dispatcher callers create" in answer.json["detail"]


async def test_two_hosts_are_none(dev_edge: Edge) -> None:
    raw = await dev_edge.raw(
        b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert raw.split()[1] in {b"400", b"403"}
    raw = await dev_edge.raw(b"GET /v1/jobs HTTP/1.0\r\n\r\n")
    assert raw.split()[1] in {b"400", b"403"}


async def test_with_a_key_it_may_come_from_anywhere(dev_edge: Edge) -> None:
    headers = {"Host": "abc.tunnel.example", "X-Forwarded-For": "1.1.1.1"}
    assert (await dev_edge.call("GET", "/v1/jobs", headers=headers)).status == 200


async def test_outside_dev_there_is_neither(edge: Edge) -> None:
    assert (await edge.call("GET", "/dev/inbox")).status == 404
    assert (await edge.call("GET", "/v1/jobs", key=None)).status == 401


# --- The inbox ---------------------------------------------------------------------------------


def signed(body: bytes, *, secret: bytes = DEV.secret, seconds_ago: int = 0) -> dict[str, str]:
    timestamp = NOON // 1000 - seconds_ago
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign([secret], "evt_1", timestamp, body),
        "content-type": "application/json",
    }


async def test_the_inbox_verifies_and_shows(dev_edge: Edge) -> None:
    body = b'{"id": "evt_1"}'
    # A callback may carry credentials for its receiver: they are no API key of ours.
    headers = {**signed(body), "Authorization": "Bearer for-the-receiver"}
    posted = await dev_edge.call("POST", "/dev/inbox", key=None, data=body, headers=headers)
    assert (posted.status, posted.body) == (204, b"")
    (item,) = (await dev_edge.call("GET", "/dev/inbox", key=None)).json["items"]
    assert item["verified"] is True
    assert item["reason"] is None
    assert item["receivedAt"] == "2026-01-31T12:00:00.000Z"
    assert item["headers"]["webhook-id"] == "evt_1"
    assert item["body"] == {"id": "evt_1"}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing-header"),
        (signed(b"x", secret=b"another-secret-of-24-byte"), "bad-signature"),
        (signed(b"y"), "bad-signature"),
        (signed(b"x", seconds_ago=301), "too-old"),
    ],
)
async def test_what_cannot_be_trusted_is_refused_and_shown(
    dev_edge: Edge, headers: dict[str, str], reason: str
) -> None:
    posted = await dev_edge.call("POST", "/dev/inbox", key=None, data=b"x", headers=headers)
    assert (posted.status, posted.json["code"]) == (401, "unverified")
    assert reason in posted.json["detail"]
    (item,) = (await dev_edge.call("GET", "/dev/inbox", key=None)).json["items"]
    assert (item["verified"], item["body"]) == (False, "x")
    assert item["reason"].startswith(reason)


async def test_the_inbox_is_bounded(dev_edge: Edge) -> None:
    for number in range(110):
        body = str(number).encode()
        await dev_edge.call("POST", "/dev/inbox", key=None, data=body, headers=signed(body))
    items = (await dev_edge.call("GET", "/dev/inbox", key=None)).json["items"]
    assert [item["body"] for item in items] == list(range(109, 9, -1))
    large = b"x" * 1_000_000
    for _ in range(20):
        await dev_edge.call("POST", "/dev/inbox", key=None, data=large, headers=signed(large))
    items = (await dev_edge.call("GET", "/dev/inbox", key=None)).json["items"]
    assert len(items) == 16
    too_large = await dev_edge.call("POST", "/dev/inbox", key=None, data=b"x" * 1_048_577)
    assert too_large.status == 413


async def test_what_is_strange_is_shown_too(dev_edge: Edge) -> None:
    body = b'"\xff\\ud800'
    await dev_edge.raw(
        b"POST /dev/inbox HTTP/1.1\r\nHost: localhost\r\nX-Odd: \xff\xfe\r\n"
        b"X-Two: a\r\nX-Two: b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body
    )
    (item,) = (await dev_edge.call("GET", "/dev/inbox", key=None)).json["items"]
    assert item["body"].startswith('"\ufffd')
    assert item["headers"]["x-two"] == "a, b"
