"""Who may call what."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from aiohttp.test_utils import make_mocked_request
from msgspec.structs import replace

from dispatcher.core.errors import StoreUnavailable, Unauthenticated
from dispatcher.core.model import ApiKey, Caller
from dispatcher.testing.clock import NOON
from dispatcher.web.auth import KEPT_SECONDS, Keys
from tests.web.edge import Edge

NO_JOB = "job_" + "0" * 32
NO_CALLER = "clr_" + "0" * 32
GUARDED = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", f"/v1/jobs/{NO_JOB}"),
    ("GET", f"/v1/jobs/{NO_JOB}/result"),
    ("GET", f"/v1/jobs/{NO_JOB}/events"),
    ("GET", f"/v1/jobs/{NO_JOB}/deliveries"),
    ("POST", f"/v1/jobs/{NO_JOB}/cancel"),
    ("GET", "/v1/types"),
    ("GET", "/v1/callers"),
    ("POST", "/v1/callers"),
    ("POST", f"/v1/callers/{NO_CALLER}/keys"),
    ("DELETE", f"/v1/callers/{NO_CALLER}/keys/key_{'0' * 32}"),
    ("POST", f"/v1/callers/{NO_CALLER}/rotate-secret"),
]
FOR_OPERATORS = [each for each in GUARDED if each[1].startswith(("/v1/callers", "/v1/types"))]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_nothing_without_a_key(edge: Edge, method: str, path: str) -> None:
    answer = await edge.call(method, path, key=None)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer dsp_nobody",
        "Bearer",
        "Bearer ",
        "Bearer dsp_ada dsp_bob",
        "Bearer dsp_ada,",
        "Bearer dsp_adä",
        "Basic ZHNwX2FkYTo=",
        "dsp_ada",
        "",
        "Bearer " + "x" * 5_000,
    ],
)
async def test_nothing_with_a_key_that_is_none(edge: Edge, header: str) -> None:
    answer = await edge.call("GET", "/v1/jobs", key=None, headers={"Authorization": header})
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("others", [["dsp_ada"], ["dsp_bob"], ["dsp_nobody"], ["dsp_bob"] * 2])
async def test_nothing_with_two_keys_whichever_is_good(edge: Edge, others: list[str]) -> None:
    # A proxy before the service may have looked at the other one.
    for keys in (["dsp_ada", *others], [*others, "dsp_ada"]):
        sent = [("Authorization", f"Bearer {key}") for key in keys]
        answer = await edge.call("GET", "/v1/jobs", key=None, headers=sent)
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
        assert "once" in answer.json["detail"]


@pytest.mark.parametrize("header", ["bearer dsp_ada", "BEARER   dsp_ada"])
async def test_the_scheme_is_read_in_any_case(edge: Edge, header: str) -> None:
    answer = await edge.call("GET", "/v1/jobs", key=None, headers={"Authorization": header})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("key", "forbidden"),
    [
        ("dsp_ada", {path for _, path in FOR_OPERATORS}),
        ("dsp_ops", set()),
        ("dsp_worker", {path for _, path in GUARDED}),
    ],
)
async def test_a_role_may_make_its_calls_alone(edge: Edge, key: str, forbidden: set[str]) -> None:
    for method, path in GUARDED:
        answer = await edge.call(method, path, key=key)
        assert (answer.status == 403) is (path in forbidden), (method, path)
        if answer.status == 403:
            assert answer.json["code"] == "forbidden"
            assert "operator" in answer.json["detail"]


async def test_a_key_is_looked_up_once_in_a_few_seconds(edge: Edge) -> None:
    for _ in range(5):
        await edge.call("GET", "/v1/jobs")
    assert edge.memory.look_ups == 1
    edge.clock.advance(KEPT_SECONDS)
    await edge.call("GET", "/v1/jobs")
    assert edge.memory.look_ups == 2


async def test_what_was_read_before_a_revocation_is_not_kept_after_it(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up began before, and its answer came after the hint of another process."""
    asked, answered = asyncio.Event(), asyncio.Event()
    row = edge.memory.keys[digest("dsp_ada")]

    async def find_key(_: bytes) -> tuple[ApiKey, Caller]:
        asked.set()
        await answered.wait()
        return row

    keys = Keys(edge.memory, edge.clock, None)
    request = make_mocked_request("GET", "/", {"Authorization": "Bearer dsp_ada"})
    with monkeypatch.context() as slow:
        slow.setattr(edge.memory, "find_key", find_key)
        identified = asyncio.create_task(keys.identify(request))
        await asked.wait()
    del edge.memory.keys[digest("dsp_ada")]
    keys.forget(row[1].id)
    answered.set()
    assert (await identified).caller == row[1]
    with pytest.raises(Unauthenticated):
        await keys.identify(request)


async def test_so_is_a_key_that_is_not_known(edge: Edge) -> None:
    for _ in range(5):
        assert (await edge.call("GET", "/v1/jobs", key="dsp_nobody")).status == 401
    assert edge.memory.look_ups == 1


async def test_a_revoked_key_ends_within_seconds(edge: Edge) -> None:
    assert (await edge.call("GET", "/v1/jobs")).status == 200
    key, caller = edge.memory.keys[digest("dsp_ada")]
    edge.memory.keys[digest("dsp_ada")] = (replace(key, revoked_at=NOON), caller)
    assert (await edge.call("GET", "/v1/jobs")).status == 200
    edge.clock.advance(KEPT_SECONDS)
    assert (await edge.call("GET", "/v1/jobs")).status == 401


async def test_a_key_ends_at_its_time_to_the_millisecond(edge: Edge) -> None:
    key, caller = edge.memory.keys[digest("dsp_ada")]
    edge.memory.keys[digest("dsp_ada")] = (replace(key, expires_at=NOON + 1), caller)
    assert (await edge.call("GET", "/v1/jobs")).status == 200
    edge.clock.advance(0.001)
    expired = await edge.call("GET", "/v1/jobs")
    assert (expired.status, "expired" in expired.json["detail"]) == (401, True)


async def test_while_one_asks_the_others_are_not_kept_waiting(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await edge.call("GET", "/v1/jobs")
    edge.clock.advance(KEPT_SECONDS)
    asked, answer_now = asyncio.Event(), asyncio.Event()
    find_key = edge.memory.find_key

    async def slow(key: bytes) -> tuple[ApiKey, Caller] | None:
        asked.set()
        await answer_now.wait()
        return await find_key(key)

    monkeypatch.setattr(edge.memory, "find_key", slow)
    first = asyncio.create_task(edge.call("GET", "/v1/jobs"))
    await asked.wait()
    assert (await edge.call("GET", "/v1/jobs")).status == 200
    assert not first.done()
    answer_now.set()
    assert (await first).status == 200


async def test_a_look_up_that_failed_is_made_again(edge: Edge) -> None:
    await edge.call("GET", "/v1/jobs")
    edge.clock.advance(KEPT_SECONDS)
    edge.memory.fails_with = StoreUnavailable("locked")
    for _ in range(2):
        assert (await edge.call("GET", "/v1/jobs")).status == 503
    edge.memory.fails_with = None
    assert (await edge.call("GET", "/v1/jobs")).status == 200


async def test_strangers_do_not_push_out_those_who_are_known(edge: Edge) -> None:
    await edge.call("GET", "/v1/jobs")
    for number in range(1_100):
        await edge.call("GET", "/v1/jobs", key=f"dsp_{number}")
    look_ups = edge.memory.look_ups
    await edge.call("GET", "/v1/jobs")
    assert edge.memory.look_ups == look_ups
    await edge.call("GET", "/v1/jobs", key="dsp_0")  # the oldest stranger is forgotten
    assert edge.memory.look_ups == look_ups + 1
