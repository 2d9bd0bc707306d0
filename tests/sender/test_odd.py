"""Answers that are strange, but answers."""

from __future__ import annotations

import pytest

from dispatcher.core.outcome import Answered, NotSent
from dispatcher.testing.receiver import Arrival, Raw, Receiver, Wire
from tests.sender.conftest import AnySender
from tests.sender.test_hostile import OK, send_to


@pytest.mark.parametrize("count", [1, 16])
async def test_interim_answers_are_passed_over(sender: AnySender, count: int) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * count
    result = await send_to(sender, Raw(interim + OK + b"content-length: 2\r\n\r\nok"))
    assert result == Answered(status_code=200, duration_ms=0, body=b"ok")


@pytest.mark.parametrize("upgrade", [b"", b"connection: upgrade\r\nupgrade: websocket\r\n"])
async def test_101_is_an_answer_and_ends_the_connection(sender: AnySender, upgrade: bytes) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\n"
    result = await send_to(sender, Raw(switching + b"frames" * 100, close=False))
    assert isinstance(result, Answered | NotSent)
    assert result.status_code == 101 or result.code == "bad-answer"  # type: ignore[union-attr]  # checked above


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_body_where_none_may_be_is_not_read(sender: AnySender, status: bytes) -> None:
    """It would be another answer (RFC 9112, 6.3); one that comes at once spoils the whole."""
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 5\r\n\r\n"

    async def script(wire: Wire, _: Arrival) -> None:
        await wire.send(head)
        await wire.gone(within_seconds=0.02)
        await wire.send(b"hello")
        await wire.gone()

    result = await send_to(sender, script)
    assert result == Answered(status_code=int(status[:3]), duration_ms=0, body=b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(sender: AnySender, status: int) -> None:
    async with Receiver() as elsewhere:
        location = b"location: " + elsewhere.url.encode() + b"\r\ncontent-length: 0\r\n\r\n"
        result = await send_to(sender, Raw(b"HTTP/1.1 %d Go\r\n" % status + location))
        assert result == Answered(status_code=status, duration_ms=0, body=b"")
        assert elsewhere.connection_count == 0
