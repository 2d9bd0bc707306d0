"""`dispatcher listen`, within this process and as one of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from dispatcher.cli.listen import DEV_SECRET, _introduce, listen_command
from dispatcher.compose import parts
from dispatcher.core.outcome import Answered
from dispatcher.core.signature import format_secret, parse_secret, sign
from dispatcher.ports.sender import Callout
from tests.sender.conftest import AnySender

OTHER_SECRET = format_secret(b"s" * 32)


@pytest.fixture
def sender_name() -> str:
    """What sends doesn't matter here."""
    return "narrow"


def event(event_id: str = "evt_1", **data: Any) -> bytes:
    return json.dumps(
        {
            "id": event_id,
            "type": "job.succeeded",
            "timestamp": "2026-01-31T09:30:00.000Z",
            "data": {"id": "job_1", "type": "dispatcher.echo", "status": "succeeded", **data},
        }
    ).encode()


def signed(url: str, body: bytes, event_id: str = "evt_1", secret: str = DEV_SECRET) -> Callout:
    now = int(time.time())
    headers = (
        ("webhook-id", event_id),
        ("webhook-timestamp", str(now)),
        ("webhook-signature", sign([parse_secret(secret)], event_id, now, body)),
        ("callback-attempt", "3"),
        ("correlation-id", "order-7"),
    )
    return Callout(url, headers, body, "caller_1")


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


class Listening:
    """`dispatcher listen` as a process."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.intro = ""
        self.url = ""

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dispatcher.cli",
            "listen",
            "--port",
            "0",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stream = self.process.stderr if "--jsonl" in self._arguments else self.process.stdout
        assert stream is not None
        while not self.intro.endswith("\n\n"):
            line = await stream.readline()
            assert line, "it ended before it listened"
            self.intro += line.decode()
        self.url = self.intro.split()[2]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()

    async def stop(self, number: signal.Signals) -> tuple[int | None, str, str]:
        self.process.send_signal(number)
        out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


async def statuses(sender: AnySender, *callouts: Callout) -> list[int]:
    results = [await sender.send(each) for each in callouts]
    return [result.status_code for result in results if isinstance(result, Answered)]


async def test_lines_of_json_tell_each_callback(sender: AnySender) -> None:
    async with Listening("--jsonl", "--respond", "500, 503,200") as listening:
        url = listening.url + "hook?x=1"
        body = event(result={"ü": "a\nb"})
        first = signed(url, body)
        again = signed(url, event("evt_2"), "evt_2")
        assert await statuses(sender, first, first, again, first, first) == [
            *(500, 503),
            500,
            *(200, 200),
        ]
        lines = [json.loads(await listening.line()) for _ in range(5)]
        code, out, _ = await listening.stop(signal.SIGTERM)
    assert (code, out) == (0, "")
    assert [(line["id"], line["seen"], line["status"]) for line in lines] == [
        ("evt_1", 1, 500),
        ("evt_1", 2, 503),
        ("evt_2", 1, 500),
        ("evt_1", 3, 200),
        ("evt_1", 4, 200),
    ]
    line = lines[0]
    assert line.pop("at").endswith("Z")
    assert line == {
        "path": "/hook?x=1",
        "verified": True,
        "reason": None,
        "id": "evt_1",
        "type": "job.succeeded",
        "attempt": 3,
        "seen": 1,
        "jobId": "job_1",
        "correlationId": "order-7",
        "status": 500,
        "body": json.loads(body),
    }


async def test_people_are_told_where_to_send_and_what_came(sender: AnySender) -> None:
    async with Listening("--secret", OTHER_SECRET, "--respond", "500,200") as listening:
        assert "the secret given" in listening.intro
        assert OTHER_SECRET not in listening.intro
        assert "500, then 200" in listening.intro
        assert "serve --dev" not in listening.intro
        body = event(result={"rows": 3})
        good = signed(listening.url, body, secret=OTHER_SECRET)
        assert await statuses(sender, good, good, signed(listening.url, body)) == [500, 200, 401]
        code, out, err = await listening.stop(signal.SIGINT)
    assert (code, err) == (0, "")
    assert "job.succeeded  verified  attempt 3  answered 500" in out
    assert "evt_1, come 2 times" in out
    assert "job_1 dispatcher.echo succeeded" in out
    assert 'result: {"rows":3}' in out
    assert "NOT VERIFIED  POST /  answered 401" in out
    assert "bad-signature" in out


async def test_what_a_stranger_sends_can_not_steer_the_terminal(sender: AnySender) -> None:
    async with Listening() as listening:
        body = event(status="\x1b[2Jgone\r\n")
        assert await statuses(sender, signed(listening.url, body)) == [200]
        _, out, _ = await listening.stop(signal.SIGTERM)
    assert "gone" in out
    assert "\x1b[2J" not in out
    assert "\r" not in out


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b'{\n"a":\r\n1}', b"[]"])
async def test_a_line_is_a_line_whatever_came(sender: AnySender, body: bytes) -> None:
    async with Listening("--jsonl") as listening:
        assert await statuses(sender, Callout(listening.url, (), body, "caller_1")) == [401]
        line = json.loads(await listening.line())
    assert line["verified"] is False
    assert line["reason"].startswith("missing-header")
    assert line["status"] == 401


async def test_a_body_may_have_four_mebibytes_and_no_more(sender: AnySender) -> None:
    async with Listening() as listening:
        large = event(result="x" * (4 * 2**20 - 1_000))
        assert await statuses(sender, signed(listening.url, large)) == [200]
        larger = Callout(listening.url, (), b"x" * (4 * 2**20 + 1), "caller_1")
        assert await statuses(sender, larger) == [413]
        _, out, _ = await listening.stop(signal.SIGTERM)
    assert "verified" in out
    assert len(out) < 5_000  # what is shown is cut


async def test_an_answer_can_be_late_and_stopping_does_not_wait_for_it(
    sender: AnySender,
) -> None:
    async with Listening("--jsonl", "--delay", "600") as listening:
        sending = asyncio.create_task(sender.send(signed(listening.url, event())))
        assert json.loads(await listening.line())["status"] == 200
        assert not sending.done()
        code, _, _ = await listening.stop(signal.SIGTERM)
        assert not isinstance(await sending, Answered)
    assert code == 0


async def test_it_ends_when_nobody_reads_what_it_prints(sender: AnySender) -> None:
    async with Listening("--jsonl") as listening:
        listening.process.stdout._transport.close()  # type: ignore[union-attr]  # our end of the pipe
        await sender.send(signed(listening.url, event()))
        _, err = await listening.process.communicate()
    assert listening.process.returncode == 0
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


async def test_what_is_not_http_is_refused_without_a_traceback() -> None:
    async with Listening() as listening:
        reader, writer = await asyncio.open_connection(*address_of(listening.url))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        await writer.wait_closed()
        code, out, err = await listening.stop(signal.SIGTERM)
    assert (code, out, err) == (0, "", "")


async def test_a_port_in_use_is_told_plainly() -> None:
    async with Listening("--jsonl") as listening:
        port = listening.url.rstrip("/").rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dispatcher.cli", "listen", "--port", port),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--respond", "abc"],
        ["--respond", "200,"],
        ["--respond", "199"],
        ["--respond", "600"],
        ["--respond", "-200"],
        ["--respond", ""],
        ["--secret", "whsec_short"],
        ["--delay", "-1"],
        ["--port", "65536"],
    ],
)
def test_wrong_options_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(listen_command, arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output


@pytest.mark.parametrize(
    ("secrets", "told"),
    [((DEV_SECRET,), True), ((OTHER_SECRET, DEV_SECRET), True), ((OTHER_SECRET,), False)],
)
@pytest.mark.parametrize("jsonl", [True, False])
def test_dev_is_named_only_if_what_it_sends_verifies(
    secrets: tuple[str, ...], told: bool, jsonl: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _introduce(secrets, (200,), jsonl=jsonl)("http://127.0.0.1:9000/")
    out, err = capsys.readouterr()
    text = err if jsonl else out
    assert text.startswith("Listening on http://127.0.0.1:9000/")
    assert ("serve --dev" in text) is told
    assert ("--callback http://127.0.0.1:9000/hook\n" in text) is told
    assert (out if not jsonl else err).endswith("\n\n")
    assert not (err if not jsonl else out)


def test_the_secret_is_that_of_dev() -> None:
    assert DEV_SECRET == parts.DEV_SECRET
