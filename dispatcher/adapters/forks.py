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
from pathlib import Path
from typing import Any, Final

_ours: Final[set[int]] = set()


@contextmanager
def kept_from_forks(descriptor: int) -> Iterator[None]:
    """Meanwhile a child that is forked lets go of `descriptor`; here nothing happens to it.

    Of a socket that listens, it lets go of the connections that came to it, too.
    """
    _ours.add(descriptor)
    try:
        yield
    finally:
        _ours.discard(descriptor)


def _let_go() -> None:
    """In the child: objects there still know the numbers, so they come to name nothing of use."""
    if not _ours:
        return
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in _ours | _connections():
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)
    _ours.clear()


def _connections() -> set[int]:
    ports = {port for each in _ours if (port := _port(each)) is not None}
    found = {int(each.name) for each in Path("/dev/fd").iterdir()} if ports else set()
    return {each for each in found if _port(each) in ports}


def _port(descriptor: int) -> int | None:
    """At which port of this machine a socket of TCP is; None: it is something else."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        inet = found.family in {socket.AF_INET, socket.AF_INET6}
        name: Any = found.getsockname() if inet else None
    finally:
        found.detach()
    return None if name is None else int(name[1])


os.register_at_fork(after_in_child=_let_go)
