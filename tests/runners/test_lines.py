"""Lines of a child's standard error, however they come."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.runners.processes.lines import LINE_BYTES, lines_of


async def read(chunks: list[bytes]) -> list[bytes]:
    stream = asyncio.StreamReader()
    found: list[bytes] = []

    async def collect() -> None:
        found.extend([line async for line in lines_of(stream)])

    collecting = asyncio.create_task(collect())
    for chunk in chunks:
        if chunk:
            stream.feed_data(chunk)
        await asyncio.sleep(0)  # so that it is read by itself
    stream.feed_eof()
    await collecting
    return found


@given(st.lists(st.binary(max_size=6).map(lambda each: each.replace(b"\r", b"\n"))))
def test_they_are_the_same_whatever_the_pieces(chunks: list[bytes]) -> None:
    whole = b"".join(chunks).split(b"\n")
    expected = whole[:-1] + ([whole[-1]] if whole[-1] else [])
    assert asyncio.run(read(chunks)) == expected


async def test_a_line_without_an_end_is_read_to_a_bound_and_the_next_is_whole() -> None:
    chunks = [b"x" * 50_000] * 10 + [b"y\nnext\n", b"z" * (LINE_BYTES + 5), b"\nlast"]
    assert await read(chunks) == [b"x" * LINE_BYTES, b"next", b"z" * LINE_BYTES, b"last"]
