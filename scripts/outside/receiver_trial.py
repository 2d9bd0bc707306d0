"""One receiver, one service, and what may happen between them: all real."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from standardwebhooks import Webhook

from .api import Api
from .process import Service
from .receiver_kinds import Running, prepared
from .tap import Passed, Tap

# The secret and the caller of `--dev`, fixed and documented.
DEV_SECRET: Final = "whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE="  # noqa: S105  # public
DEV_CALLER: Final = "clr_00000000000070008000000000000de0"
SCHEDULE: Final = [0, 0.2, 0.5, 1, 1, 1, 1, 1]
SECONDS: Final = 20.0
AT_ONCE: Final = 8
_POLL_SECONDS: Final = 0.02


class TrialFailed(Exception):
    """The receiver did not do what it should; the message says what, and ends with its log."""


class Trial:
    """The steps, one after another; `steps` gives a sentence for each that went well."""

    def __init__(self, receiver: Running, tap: Tap, api: Api, stranger: Api) -> None:
        self._receiver = receiver
        self._tap = tap
        self._api = api
        self._stranger = stranger
        self._orders = receiver.folder / "orders.jsonl"
        self._jobs = 0

    async def steps(self) -> AsyncIterator[str]:
        """Raises `TrialFailed` at the first step that goes wrong."""
        # Work fails as long as a folder stands where its file should.
        self._orders.mkdir()
        await self._receiver.start()
        first = await self._real()
        self._expect(first.answer in range(200, 300), f"it was answered {first.answer}")
        await self._until_it_failed(first)
        yield f"a callback was verified and answered {first.answer}; its work failed"

        self._receiver.kill()
        self._orders.rmdir()
        await self._receiver.start()
        await self._until_done(first)
        yield "it was killed and started again, and did the work without being called again"

        await self._redeliver(first)
        yield "the same callback, redelivered, was answered 2xx"

        held = await self._held(self._api, self._tap.url)
        answers = await asyncio.gather(
            *(self._tap.send(held.headers, held.body) for _ in range(AT_ONCE))
        )
        self._expect(all(each in range(200, 300) for each in answers), f"repeated: {answers}")
        yield f"{AT_ONCE} copies of another at the same time were answered 2xx"

        count = 0
        async for name, headers, body in self._forged(held):
            answer = await self._tap.send(headers, body)
            self._expect(answer in range(400, 500), f"{name}: it was answered {answer}")
            count += 1
        yield f"{count} forged callbacks were answered 4xx"

        last = await self._real()
        await self._until_done(last)
        done, expected = self._done(), [_id(each) for each in (first, held, last)]
        self._expect(sorted(done) == sorted(expected), f"done was {done}, not {expected}")
        yield "the work was done once for each"

    # --- callbacks -----------------------------------------------------------------------------

    async def _submitted(self, api: Api, url: str) -> str:
        self._jobs += 1
        job = {
            "type": "dispatcher.echo",
            "input": {"total": 42, "name": "Zoë"},
            "callbackUrl": url,
            "callback": {"schedule": SCHEDULE},
            "correlationId": f"order-{self._jobs}",
        }
        answer = await api.submit(job)
        self._expect(answer.status == 202, f"the job was answered {answer}")
        return str(answer.json["id"])

    async def _passed(self, job_id: str) -> Passed:
        try:
            return await self._tap.until(lambda each: _job_of(each) == job_id, SECONDS)
        except TimeoutError:
            raise self._failed(f"no callback came for {job_id}") from None

    async def _real(self) -> Passed:
        return await self._passed(await self._submitted(self._api, self._tap.url))

    async def _held(self, api: Api, url: str) -> Passed:
        """A callback as the service sends it, which the receiver has not seen."""
        self._tap.holds = True
        try:
            return await self._passed(await self._submitted(api, url))
        finally:
            self._tap.holds = False

    async def _redeliver(self, sent: Passed) -> None:
        path = f"/v1/deliveries?jobId={_job_of(sent)}&status=delivered"
        listed: list[dict[str, Any]] = []

        async def delivered() -> bool:
            listed[:] = (await self._api.call("GET", path)).json["items"]
            return bool(listed)

        await self._until(delivered, f"{path} stayed empty")
        answer = await self._api.call("POST", f"/v1/deliveries/{listed[0]['id']}/redeliver")
        self._expect(answer.status == 202, f"redeliver was answered {answer}")
        again = await self._tap.until(
            lambda each: _id(each) == _id(sent) and each.headers["callback-attempt"] == "2", SECONDS
        )
        self._expect(again.body == sent.body, "the redelivered callback has other bytes")
        self._expect(again.answer in range(200, 300), f"repeated, it was answered {again.answer}")

    # --- forgeries -----------------------------------------------------------------------------

    async def _forged(self, real: Passed) -> AsyncIterator[tuple[str, dict[str, str], bytes]]:
        for name, headers, body in _tampered(real.headers, real.body):
            yield name, headers, body
        event = json.loads(real.body)
        own = (
            ("for another caller, with our secret", event | {"callerId": "clr_other"}, 0),
            ("for another URL, with our secret", event | {"callbackUrl": "http://else/"}, 0),
            ("ten minutes old", event, -600),
        )
        for name, said, age in own:
            yield name, *_signed(real, json.dumps(said), age)
        elsewhere = await self._held(self._api, f"{self._tap.origin}/elsewhere")
        yield "by the service, for another URL", elsewhere.headers, elsewhere.body
        strange = await self._held(self._stranger, self._tap.url)
        yield "by the service, for another caller", strange.headers, strange.body

    # --- what was done -------------------------------------------------------------------------

    def _done(self) -> list[str]:
        if not self._orders.is_file():
            return []
        return [json.loads(line)["id"] for line in self._orders.read_text("utf-8").splitlines()]

    async def _until_done(self, sent: Passed) -> None:
        async def done() -> bool:
            return _id(sent) in self._done()

        await self._until(done, f"the work for {_id(sent)} was not done")

    async def _until_it_failed(self, sent: Passed) -> None:
        async def told() -> bool:
            return any(_id(sent) in x and "not done" in x for x in self._receiver.log.split("\n"))

        await self._until(told, f"it did not tell that the work for {_id(sent)} failed")

    async def _until(self, holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        ends = time.monotonic() + SECONDS
        while not await holds():
            if time.monotonic() > ends:
                raise self._failed(otherwise)
            await asyncio.sleep(_POLL_SECONDS)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._failed(otherwise)

    def _failed(self, what: str) -> TrialFailed:
        return TrialFailed(f"{what}\n--- the receiver's log:\n{self._receiver.log}")


def _id(passed: Passed) -> str:
    return passed.headers["webhook-id"]


def _job_of(passed: Passed) -> str:
    return str(json.loads(passed.body)["data"]["id"])


def _tampered(headers: dict[str, str], body: bytes) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """A real callback in which one thing was changed."""
    later = str(int(headers["webhook-timestamp"]) + 1)
    yield "a changed body", headers, body.replace(b"42", b"43", 1)
    yield "not UTF-8", headers, b"\xff" + body
    yield "no body", headers, b""
    yield "another id", headers | {"webhook-id": "evt_" + "0" * 32}, body
    yield "another time", headers | {"webhook-timestamp": later}, body
    yield "no time at all", headers | {"webhook-timestamp": "now"}, body
    yield "a time beyond all clocks", headers | {"webhook-timestamp": "9" * 400}, body
    for wrong in ("nonsense", "v1", "v1,!!!! v1a,!!!!", "v1, v1a,", "v1,AAAA v1a,AAAA"):
        yield f"the signature {wrong!r}", headers | {"webhook-signature": wrong}, body
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    for missing in names:
        yield f"no {missing}", {n: v for n, v in headers.items() if n != missing}, body
    yield "nothing of it", {"content-type": "text/plain"}, b"hello"


def _signed(like: Passed, said: str, age_seconds: int) -> tuple[dict[str, str], bytes]:
    """An event as whoever has the secret of `--dev` can sign it."""
    at = datetime.fromtimestamp(int(time.time()), UTC) + timedelta(seconds=age_seconds)
    signature = Webhook(DEV_SECRET).sign(_id(like), at, said)
    own = {"webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    return like.headers | own, said.encode()


@asynccontextmanager
async def trial(kind: str, folder: Path, *, python: str | None = None) -> AsyncIterator[Trial]:
    """A receiver of that kind, installed, and a service in development mode; all ends with it.

    Args:
        kind: one of `receiver_kinds.KINDS`.
        folder: exists and is empty; the caller removes it.
        python: see `receiver_kinds.prepared`, and what it raises.
    """
    for name in ("service", "receiver"):
        (folder / name).mkdir()
    settings: dict[str, Any] = {"CALLBACK_SECRET": DEV_SECRET, "CALLER_ID": DEV_CALLER}
    receiver = await asyncio.to_thread(prepared, kind, folder / "receiver", settings, python=python)
    service = Service(folder / "service", dev=True)
    try:
        other = await service.create_caller("stranger")
        await service.start()
        async with (
            Tap(receiver.port) as tap,
            Api(service.url) as api,
            Api(service.url, other.api_key) as stranger,
        ):
            receiver.environment |= {"CALLBACK_URL": tap.url, "SERVICE_URL": service.url}
            yield Trial(receiver, tap, api, stranger)
    finally:
        receiver.kill()
        service.end()
