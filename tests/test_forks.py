"""What a child that is forked lets go of, and what it keeps."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dispatcher.adapters.forks import kept_from_forks


@pytest.fixture
def open_files() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def kept(*descriptors: int) -> list[bool]:
    """Which of these still lead in a child where they lead here."""
    here = [os.fstat(each)[1:3] for each in descriptors]
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        pid = os.fork()
    if pid == 0:
        there = [os.fstat(each)[1:3] for each in descriptors]
        os.write(writing, bytes(a == b for a, b in zip(here, there, strict=True)))
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as answer:
        return [bool(each) for each in answer.read()]


def listening(open_files: ExitStack) -> socket.socket:
    return open_files.enter_context(socket.create_server(("127.0.0.1", 0)))


def test_the_port_its_connections_and_files_go(open_files: ExitStack, tmp_path: Path) -> None:
    server, another = listening(open_files), listening(open_files)
    client = open_files.enter_context(socket.create_connection(server.getsockname()))
    came, _ = server.accept()
    open_files.enter_context(came)
    datagrams = open_files.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(server.getsockname())
    lock = open_files.enter_context((tmp_path / "lock").open("w"))
    files = [each.fileno() for each in (server, came, lock, another, client, datagrams)]
    with kept_from_forks(server.fileno()), kept_from_forks(lock.fileno()):
        assert kept(*files) == [False, False, False, True, True, True]
    assert kept(*files) == [True] * 6


def test_a_number_that_is_another_s_by_now_is_left_alone(
    open_files: ExitStack, tmp_path: Path
) -> None:
    """The server closes its socket before all has ended: a handler may have its number then."""
    server = listening(open_files)
    lock = open_files.enter_context((tmp_path / "lock").open("w"))
    other = open_files.enter_context((tmp_path / "other").open("w"))
    number = server.fileno()
    with kept_from_forks(number), kept_from_forks(lock.fileno()):
        server.close()
        assert kept(lock.fileno()) == [False]
        os.dup2(other.fileno(), number)
        open_files.callback(os.close, number)
        assert kept(number, lock.fileno()) == [True, False]
