"""The reader of answers by itself: the same in any pieces, and its bounds to the byte."""

from __future__ import annotations

import pytest

from dispatcher.adapters.sender.narrow.answer import LONGEST_LINE_BYTES, Answer, BadAnswer
from dispatcher.adapters.sender.terms import SenderTerms

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


def read(*pieces: bytes, terms: SenderTerms | None = None) -> Answer:
    answer = Answer(SenderTerms() if terms is None else terms, keeps=True)
    for piece in pieces:
        if answer.done:
            break
        answer.feed(piece)
    return answer


def told(answer: Answer) -> tuple[int | None, bool, bool, bytes | None]:
    return answer.status, answer.done, answer.sound, answer.kept


ANSWERS = {
    "counted": OK + b"content-length: 5\r\n\r\nhello",
    "chunked": OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "after two interim ones": INTERIM * 2 + OK + b"content-length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_pieces_change_nothing_wherever_it_is_cut(name: str) -> None:
    data = ANSWERS[name]
    for at in range(len(data)):
        assert told(read(data[:at], data[at:])) == (200, True, True, b"hello")
        if at:
            assert not read(data[:at]).done
    by_byte = read(*(data[at : at + 1] for at in range(len(data))))
    assert told(by_byte) == (200, True, True, b"hello")


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_heads_are_bounded_together_to_the_byte(count: int, size: int) -> None:
    data = INTERIM * count + EMPTY
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read(*pieces, terms=SenderTerms(head_bytes=len(data))).status == 200
    with pytest.raises(BadAnswer, match="head"):
        read(*pieces, terms=SenderTerms(head_bytes=len(data) - 1))


def test_what_stands_behind_its_head_counts_as_none_of_it() -> None:
    head = OK + b"content-length: 5\r\n\r\n"
    assert told(read(head + b"hello", terms=SenderTerms(head_bytes=len(head)))) == (
        *(200, True, True),
        b"hello",
    )


def test_a_line_is_bounded_to_the_byte() -> None:
    terms = SenderTerms(head_bytes=100_000)
    start = b"HTTP/1.1 200 "
    line = start + b"x" * (LONGEST_LINE_BYTES - len(start))
    assert read(line + EMPTY[len(OK) - 2 :], terms=terms).status == 200
    with pytest.raises(BadAnswer, match="a line is longer than"):
        read(line + b"x" + EMPTY[len(OK) - 2 :], terms=terms)


@pytest.mark.parametrize(
    ("answer", "sound"),
    [
        (b"HTTP/1.1 204 x\r\n\r\n", True),
        (b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 x\r\ncontent-length: 5\r\n\r\n", False),
        (b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n", False),
        (b"HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n", True),
        (b"HTTP/1.1 304 x\r\ntransfer-encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 101 x\r\n\r\n", False),
        (b"HTTP/1.0 200 x\r\ncontent-length: 0\r\n\r\n", False),
    ],
)
def test_which_answers_without_a_body_leave_a_connection_that_serves_again(
    answer: bytes, sound: bool
) -> None:
    found = read(answer)
    assert (found.done, found.kept, found.sound) == (True, b"", sound)


def test_a_body_that_ends_with_its_connection_is_whole_then_and_a_counted_one_is_not() -> None:
    until_closed = read(OK + b"\r\nhel", b"lo")
    assert told(until_closed) == (200, False, False, b"hello")
    assert until_closed.end()
    counted = read(OK + b"content-length: 6\r\n\r\nhello")
    assert not counted.end()


@pytest.mark.parametrize(
    ("length", "kept", "sound"), [(8, b"01234", True), (9, b"01234", False), (5, b"01234", True)]
)
def test_bodies_are_read_and_kept_to_the_byte(length: int, kept: bytes, sound: bool) -> None:
    terms = SenderTerms(read_bytes=8, kept_bytes=5)
    head = OK + b"content-length: %d\r\n\r\n" % length
    body = b"0123456789"[:length]
    for pieces in ((head + body,), (head, body), (head, body[:4], body[4:])):
        assert told(read(*pieces, terms=terms)) == (200, True, sound, kept)


@pytest.mark.parametrize("size", [1, 10_000])
def test_chunks_are_bounded_with_their_framing_to_the_byte(size: int) -> None:
    head, _, chunks = ANSWERS["chunked"].partition(b"\r\n\r\n")
    pieces = [chunks[at : at + size] for at in range(0, len(chunks), size)]
    for most, sound in ((len(chunks), True), (len(chunks) - 1, False)):
        found = read(head + b"\r\n\r\n", *pieces, terms=SenderTerms(read_bytes=most))
        assert told(found) == (200, True, sound, b"hello")


@pytest.mark.parametrize(("behind", "odd"), [(b"", False), (b"\r\n", True), (b"\n\r\n", True)])
def test_line_ends_behind_an_answer_are_a_slip(behind: bytes, odd: bool) -> None:
    for answer in ANSWERS.values():
        found = read(answer + behind)
        assert (found.done, found.sound) == (True, not odd)


@pytest.mark.parametrize("behind", [b"x", b"\r\nx", EMPTY])
def test_anything_else_behind_it_spoils_it(behind: bytes) -> None:
    for answer in ANSWERS.values():
        for pieces in ((answer + behind,), (answer[:-2], answer[-2:] + behind)):
            with pytest.raises(BadAnswer):
                read(*pieces)
