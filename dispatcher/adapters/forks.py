"""What a process that is forked off this one must not hold on to.

Handlers may fork: `multiprocessing` and `ProcessPoolExecutor` do, on Linux before Python 3.14. Such
a child has every descriptor of the service's, and where the service is killed it lives on: nothing
tells it. While it held the port and the lock of the database no other service could start, and who
had a connection waited on it for an answer.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias

_INET: Final = frozenset({socket.AF_INET, socket.AF_INET6})

_File: TypeAlias = tuple[int, int]
"""What a descriptor leads to: its number may be another's by the time of a fork."""

_ours: Final[dict[int, _File | None]] = {}


@contextmanager
def kept_from_forks(descriptor: int) -> Iterator[None]:
    """Meanwhile a child that is forked lets go of `descriptor`; here nothing happens to it.

    Of a socket that listens, it lets go of the connections that came to it, too. If it is closed
    before this ends, nothing happens to what has its number then.
    """
    _ours[descriptor] = _file_of(descriptor)
    try:
        yield
    finally:
        _ours.pop(descriptor, None)


def _let_go() -> None:
    """In the child: objects there still know the numbers, so they come to name nothing of use."""
    still = [each for each, file in _ours.items() if file is not None and file == _file_of(each)]
    _ours.clear()
    if not still:
        return
    ports = {port for each in still if (port := _port(each)) is not None}
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in chain(still, _connections(ports)):
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


def _file_of(descriptor: int) -> _File | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connections(ports: set[int]) -> Iterator[int]:
    for each in Path("/dev/fd").iterdir() if ports else ():
        if _port(int(each.name)) in ports:
            yield int(each.name)


def _port(descriptor: int) -> int | None:
    """At which port of this machine a socket of TCP is; None: it is something else."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        tcp = found.family in _INET and found.type == socket.SOCK_STREAM
        name: Any = found.getsockname() if tcp else None
    finally:
        found.detach()
    return None if name is None else int(name[1])


os.register_at_fork(after_in_child=_let_go)
