"""A caller that knows nothing but `/docs`, and has nothing but curl."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.whole.rig import Rig, rig

_ARTICLE = r'<article id="{}">(.*?)</article>'
_CURL = re.compile(r'<pre class="curl"[^>]*><code>(.*?)</code></pre>', re.DOTALL)


class Reader:
    """Reads the page, and does what stands in it."""

    def __init__(self, api_key: str | None, page: str) -> None:
        self._environment = dict(os.environ)
        if api_key is not None:
            self._environment["DISPATCHER_API_KEY"] = api_key
        self._page = page

    @classmethod
    async def of(cls, url: str, api_key: str | None) -> Reader:
        """Whoever was given an address and, but in `--dev`, a key."""
        return cls(api_key, await cls._bash(f"curl -s {url}/docs", dict(os.environ)))

    def article(self, operation: str) -> str:
        """What stands there of a call."""
        (article,) = re.findall(_ARTICLE.format(operation), self._page, re.DOTALL)
        return str(article)

    def curl(self, operation: str) -> str:
        """The command that the page gives for a call."""
        found = _CURL.search(self.article(operation))
        assert found is not None
        return html.unescape(found[1])

    def with_header(self, operation: str, name: str, value: str | None = None) -> str:
        """The command with a header of the table, its value as shown there, or one's own."""
        return f"{self.curl(operation)} -H '{name}: {value or self.shown(operation, name)}'"

    def shown(self, operation: str, name: str) -> str:
        """The example of a header in the table."""
        row = re.search(
            rf"<td><code>{re.escape(name)}</code></td><td>header</td>(.*?)</tr>",
            self.article(operation),
        )
        assert row is not None, name
        example = re.search(r"Such as <code>(.*?)</code>\.", row[1])
        return html.unescape(example[1]) if example else ""

    def member(self, operation: str, name: str) -> None:
        """See that the body may have a member of that name."""
        body = self.article(operation).partition("<h4>Body")[2]
        assert f"<td><code>{name}</code></td>" in body

    async def do(self, command: str) -> Any:
        """What a command answers, as JSON."""
        return json.loads(await self.text(command))

    async def text(self, command: str) -> str:
        """What a command answers."""
        return await self._bash(command, self._environment)

    @staticmethod
    async def _bash(command: str, environment: dict[str, str]) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@asynccontextmanager
async def reading(folder: Path, *, dev: bool) -> AsyncIterator[tuple[Rig, Reader]]:
    """A service, and a reader of its page who has a receiver."""
    async with rig(folder, dev=dev) as here:
        key = None
        if not dev:
            made = await here.service.create_caller("reader")
            key, here.receiver.secret = made.api_key, made.secret
        yield here, await Reader.of(here.service.url, key)


def own(command: str, id_: str) -> str:
    """A command of the page with one's own id in the place of the one that it shows."""
    changed, count = re.subn(r"(?:job|dlv)_[0-9a-f]{32}", id_, command)
    assert count == 1, command
    return changed


def adding(reader: Reader, **members: Any) -> str:
    """The submission of the page with more members, which its table has."""
    command = reader.curl("submitJob")
    for name, value in members.items():
        reader.member("submitJob", name)
        changed = command.replace('"type":', f'"{name}": {json.dumps(value)}, "type":')
        assert changed != command
        command = changed
    return command


@pytest.mark.whole
@pytest.mark.parametrize("dev", [True, False])
async def test_what_the_page_says_of_jobs_works(tmp_path: Path, dev: bool) -> None:
    async with reading(tmp_path, dev=dev) as (here, reader):
        assert ("$DISPATCHER_API_KEY" in reader.curl("submitJob")) is not dev
        plain = await reader.do(reader.curl("submitJob"))
        job = await reader.do(adding(reader, callbackUrl=here.receiver.url))

        async def of_job(operation: str, job_id: str = job["id"]) -> Any:
            return await reader.do(own(reader.curl(operation), job_id))

        arrival = await here.callback(job["id"])  # then it has ended
        assert (await of_job("getJob"))["status"] == "succeeded"
        assert await of_job("getJobResult") == {"hello": "world"}
        assert (await of_job("cancelJob"))["status"] == "succeeded"
        events = await of_job("listJobEvents")
        assert [each["type"] for each in events["items"]] == ["job.succeeded"]
        assert arrival.webhook_id == events["items"][0]["id"]
        later = await reader.do(adding(reader, delaySeconds=600))
        assert (await of_job("cancelJob", later["id"]))["status"] == "canceled"
        listed = await reader.do(reader.curl("listJobs"))
        assert {each["id"] for each in listed["items"]} == {plain["id"], job["id"], later["id"]}


@pytest.mark.whole
async def test_what_the_page_says_of_waiting_works(tmp_path: Path) -> None:
    async with reading(tmp_path, dev=False) as (_, reader):
        held = f"{reader.with_header('submitJob', 'Prefer')} -w ' %{{http_code}}'"
        assert "wait=" in reader.shown("submitJob", "Prefer")
        answer, _, status = (await reader.text(held)).rpartition(" ")
        assert (status, json.loads(answer)["status"]) == ("200", "succeeded")
        # One that does not end: the state that is known is waited for to change, in vain.
        later = await reader.do(adding(reader, delaySeconds=600))
        shown = own(reader.curl("getJob"), later["id"])
        tag = re.search(r"(?im)^etag: (.*?)\r?$", await reader.text(f"{shown} -D - -o /dev/null"))
        assert tag is not None
        known = reader.with_header("getJob", "If-None-Match", tag[1])
        prefer = f"-H 'Prefer: {reader.shown('getJob', 'Prefer')}'"
        waited = await reader.text(f"{own(known, later['id'])} {prefer} -w '%{{http_code}}'")
        assert waited == "304"


@pytest.mark.whole
async def test_what_the_page_says_of_events_works(tmp_path: Path) -> None:
    async with reading(tmp_path, dev=False) as (_, reader):
        jobs = [await reader.do(reader.curl("submitJob")) for _ in range(2)]
        seen: list[str] = []
        feed = reader.curl("readFeed")
        prefer = f"-H 'Prefer: {reader.shown('readFeed', 'Prefer')}'"
        assert "<code>nextCursor</code>" in reader.article("readFeed")
        assert "<td><code>cursor</code></td><td>query</td>" in reader.article("readFeed")
        cursor = ""
        async with asyncio.timeout(20):
            while len(seen) < len(jobs):
                next_page = feed.replace("/v1/events", f"/v1/events{cursor}")
                page = await reader.do(f"{next_page} {prefer}")
                seen += [each["data"]["id"] for each in page["items"]]
                cursor = f"?cursor={page['nextCursor']}"
        assert sorted(seen) == sorted(each["id"] for each in jobs)

        # The same as a stream, which ends with the job.
        accept = re.search(r"<code>(Accept: [a-z/-]+)</code>", reader.article("listJobEvents"))
        assert accept is not None
        listen = f"{own(reader.curl('listJobEvents'), jobs[0]['id'])} -H '{accept[1]}'"
        lines = (await reader.text(listen)).splitlines()
        assert "event: job.succeeded" in lines
        (last,) = [each.removeprefix("id: ") for each in lines if each.startswith("id: ")]
        assert "<td><code>Last-Event-ID</code></td><td>header</td>" in reader.article("readFeed")
        again = await reader.text(f"{listen} -H 'Last-Event-ID: {last}' -w '%{{http_code}}'")
        assert again == "204"


@pytest.mark.whole
async def test_what_the_page_says_of_deliveries_works(tmp_path: Path) -> None:
    async with reading(tmp_path, dev=False) as (here, reader):
        job = await reader.do(adding(reader, callbackUrl=here.receiver.url))
        await here.callback(job["id"])
        listed = await reader.do(own(reader.curl("listJobDeliveries"), job["id"]))
        (delivery,) = listed["items"]
        async with asyncio.timeout(20):  # what came of the attempt may not be recorded yet
            while delivery["status"] != "delivered":
                delivery = await reader.do(own(reader.curl("getDelivery"), delivery["id"]))
        again = await reader.do(own(reader.curl("redeliver"), delivery["id"]))
        assert again["id"] == delivery["id"]
        assert again["status"] in {"pending", "sending"}  # a new round has begun
        arrivals = here.receiver.accepted[job["id"]]
        assert await here.receiver.until(lambda: len(arrivals) == 2, 20)
        first, second = arrivals
        assert (first.webhook_id, first.body) == (second.webhook_id, second.body)


@pytest.mark.whole
async def test_the_page_s_document_can_be_had(tmp_path: Path) -> None:
    async with reading(tmp_path, dev=True) as (here, reader):
        link = re.search(r'href="(openapi\.json)"', reader._page)
        assert link is not None
        document = await reader.do(f"curl -s {here.service.url}/{link[1]}")
        assert document["openapi"].startswith("3.1")
