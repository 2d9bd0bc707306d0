"""Bodies that are still coming, of every call that reads one: how many there may be at once.

Each is held where it was asked for (`Expect: 100-continue`) and does not come: so it is known that
it has its place.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import pytest

from dispatcher.core.limits import Limits
from dispatcher.core.model import ApiKey, Role
from dispatcher.web.body import NOTHING_BYTES
from tests.databases import Database
from tests.web.contract import contract
from tests.web.edge import DEV, Answer, Edge
from tests.web.route_table import ROUTES, Who, path_of
from tests.web.test_leases import AUDIO
from tests.web.test_whole_path import OTHER, Service, service

WITHOUT_A_BODY: Final = {
    ("DELETE", "/v1/endpoints/{id}"),
    ("DELETE", "/v1/callers/{id}/keys/{keyId}"),
}
"""They look at no body, whatever is sent."""

READING: Final = sorted(
    route for route in ROUTES if route[0] != "GET" and route not in WITHOUT_A_BODY
)
CANCEL: Final = ("POST", path_of("/v1/jobs/{id}/cancel"))
FOUR: Final = Limits(submissions_at_once=4)  # one for each caller


class Sending:
    """A request on a connection of its own, whose body comes when the test has it come."""

    def __init__(self, edge: Edge, method: str, path: str, key: str | None) -> None:
        self._edge = edge
        self._method, self._path = method, path
        self._key = key

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._edge.port)
        known = "" if self._key is None else f"Authorization: Bearer {self._key}\r\n"
        head = (
            f"{self._method} {self._path} HTTP/1.1\r\nHost: localhost\r\n{known}"
            "Content-Type: application/json\r\nExpect: 100-continue\r\n"
            "Connection: close\r\nContent-Length: 2\r\n\r\n"
        )
        self._writer.write(head.encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def asked_for(self) -> bool:
        """Whether its body is waited for; else it is answered."""
        self._first = await asyncio.wait_for(self._reader.readline(), 10)
        if not self._first.startswith(b"HTTP/1.1 100"):
            return False
        assert await self._reader.readline() == b"\r\n"
        self._first = b""
        return True

    async def sends(self) -> Answer:
        """Send the body, and have the answer."""
        self._writer.write(b"{}")
        return await self.answer()

    async def answer(self) -> Answer:
        whole = self._first + await asyncio.wait_for(self._reader.read(), 10)
        head, _, body = whole.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        answer = Answer(int(first.split(" ")[1]), headers, body)
        contract().check(self._method, self._path, *answer)
        return answer


def check_refused(answer: Answer) -> None:
    assert (answer.status, answer.json["code"]) == (503, "overloaded")
    assert answer.headers["Retry-After"] == "1"


@asynccontextmanager
async def with_keys(database: Database, limits: Limits) -> AsyncIterator[Service]:
    """A service with every route but those of `--dev`; `ada` and `bob` may do all that is there."""
    async with service(database, limits=limits, remote=(AUDIO,)) as here:
        for name, caller_id in (("ada", here.stage.caller.id), ("bob", OTHER.id)):
            for role in (Role.OPERATOR, Role.WORKER):
                key = ApiKey(
                    id=here.stage.ids.new("key"), caller_id=caller_id, role=role, created_at=0
                )
                digest = hashlib.sha256(f"{name}-{role.value}".encode()).digest()
                await here.stage.store.add_key(key, digest)
        yield here


def key_of(name: str, route: tuple[str, str]) -> str:
    role = Role.WORKER if ROUTES[route] is Who.WORKERS else Role.OPERATOR
    return f"{name}-{role.value}"


async def test_every_call_bounds_the_bodies_that_are_still_coming(database: Database) -> None:
    """Promise 7: memory is bounded by settings, not by the load."""
    tried = 0
    async with with_keys(database, FOUR) as here:
        for route in READING:
            if route[1].startswith("/dev"):
                continue
            call, ada, bob = (
                (route[0], path_of(route[1])),
                key_of("ada", route),
                key_of("bob", route),
            )
            async with Sending(here.edge, *call, ada) as first:
                assert await first.asked_for(), route
                async with Sending(here.edge, *call, ada) as second:
                    assert not await second.asked_for(), route
                    check_refused(await second.answer())
                async with Sending(here.edge, *call, bob) as other:
                    assert await other.asked_for(), route
                    assert (await other.sends()).status != 503, route
                assert (await first.sends()).status != 503, route
            tried += 1
    assert tried > 20


async def test_they_are_counted_together_whatever_the_call(database: Database) -> None:
    async with with_keys(database, FOUR) as here:
        async with Sending(here.edge, *CANCEL, "ada-operator") as held:
            assert await held.asked_for()
            async with Sending(here.edge, "POST", "/v1/leases", "ada-worker") as other:
                assert not await other.asked_for()
                check_refused(await other.answer())
        async with asyncio.timeout(10):  # it went without a body, and gives its place back
            while True:
                async with Sending(here.edge, "POST", "/v1/leases", "ada-worker") as other:
                    if await other.asked_for():
                        break


async def test_there_is_a_bound_for_all_callers_together(database: Database) -> None:
    async with (
        with_keys(database, Limits(submissions_at_once=1)) as here,
        Sending(here.edge, *CANCEL, "ada-operator") as held,
    ):
        assert await held.asked_for()
        async with Sending(here.edge, *CANCEL, "bob-operator") as other:
            assert not await other.asked_for()
            check_refused(await other.answer())
        assert (await held.sends()).status == 404


async def test_a_body_that_came_with_its_head_needs_no_place(database: Database) -> None:
    async with (
        with_keys(database, FOUR) as here,
        Sending(here.edge, *CANCEL, "ada-operator") as held,
    ):
        assert await held.asked_for()
        whole = await here.edge.raw(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-operator\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
        assert whole.startswith(b"HTTP/1.1 422")


async def test_the_inbox_bounds_them_too() -> None:
    inbox = ("POST", "/dev/inbox", None)
    async with Edge(dev=DEV, limits=FOUR).running() as edge, Sending(edge, *inbox) as held:
        assert await held.asked_for()
        async with Sending(edge, *inbox) as other:
            assert not await other.asked_for()
            check_refused(await other.answer())
        assert (await held.sends()).status == 401


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_what_takes_no_body_reads_next_to_nothing(edge: Edge, framing: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}".ljust(NOTHING_BYTES)
        yield b" "

    data = b"{}".ljust(NOTHING_BYTES + 1) if framing == "length" else pieces()
    headers = {"Content-Type": "application/json"}
    answer = await edge.call(*CANCEL, data=data, headers=headers)
    assert (answer.status, answer.json["code"]) == (413, "body-too-large")
    assert "takes none" in answer.json["detail"]
    answer = await edge.call(*CANCEL, data=b"{}".ljust(NOTHING_BYTES), headers=headers)
    assert answer.status == 404
