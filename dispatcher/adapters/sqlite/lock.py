"""The lock that keeps two services from serving one SQLite file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher.adapters.forks import kept_from_forks
from dispatcher.core.errors import StoreLocked, StoreUnavailable


class ServeLock:
    """Holds `<database>.lock` while a service runs; the kernel lets go of it when a process dies.

    It is advisory and only between services: `callers create` and its like open the database
    beside a running one. The lock is a file of its own, because closing any descriptor of the
    database itself would drop SQLite's own locks (POSIX; "How To Corrupt An SQLite Database File",
    2.2).
    """

    def __init__(self, database: Path) -> None:
        database = database.resolve()  # whatever links lead to it, it has one lock
        self.path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None
        self._held = contextlib.ExitStack()

    def acquire(self) -> None:
        """Take the lock, and write this process's id into it.

        Raises `StoreLocked`, naming the process that holds it, or `StoreUnavailable` if the file
        can't be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{self.path} can't be opened ({error.strerror}): "
                "make its directory, or one that this user may write to, or choose another path."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreLocked(
                f"Process {holder or '(unknown)'} already serves this database ({self.path}): "
                "stop it first, or serve another file."
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        self._held.enter_context(kept_from_forks(descriptor))  # flock is a fork's, too

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            self._held.close()
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        self.release()
