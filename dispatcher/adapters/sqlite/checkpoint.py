"""Moving the write-ahead log into the database, beside the writer and not inside its commits."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from dispatcher.adapters.sqlite.connection import Use, connect

STEP_BYTES: Final = 4 * 1_048_576
"""How far the log may grow before it is moved (again)."""

CUT_BYTES: Final = 64 * 1_048_576
"""A log this large is cut back to nothing; a smaller one is written over, which syncs faster."""

_READERS_SECONDS: Final = 0.1
"""How long the writer waits, between two commits, for readers to be done with the log."""


class Checkpointer:
    """Watches the size of the log after each commit, and has it moved when it has grown.

    The bulk is moved by a thread of its own, while the writer goes on (PASSIVE). What came
    meanwhile is little; the writer moves it between two commits, so that the log begins anew
    (RESTART): from another thread that would have to catch the moment at which the writer holds no
    lock. The file keeps its size then, and it is the next growth beyond it that tells that it has
    filled up again. So the log creeps up slowly to `cut_bytes`, and is cut.
    """

    def __init__(
        self, path: Path, *, step_bytes: int = STEP_BYTES, cut_bytes: int = CUT_BYTES
    ) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._step_bytes = step_bytes
        self._cut_bytes = cut_bytes
        self._mark = step_bytes
        self._moving = threading.Event()
        self._moved = threading.Event()
        self._stop = False
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(
            target=self._run, name="dispatcher-sqlite-checkpoint", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; blocks. The writer must have ended before."""
        self._stop = True
        self._moving.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._disconnect()

    def after_commit(self) -> None:
        """Called by the writer after each commit, outside of any transaction."""
        if self._moved.is_set():
            self._begin_anew()
            self._moved.clear()
        elif not self._moving.is_set() and self._size() > self._mark:
            self._moving.set()

    def _size(self) -> int:
        try:
            return os.stat(self._log).st_size  # noqa: PTH116  # a third of the cost, after each commit
        except OSError:
            return 0

    def _run(self) -> None:
        while not self._stop:
            self._moving.wait()
            self._move()

    def _move(self) -> None:
        try:
            if self._connection is None:
                self._connection = connect(
                    self._path, Use.CHECKPOINT, lock_seconds=_READERS_SECONDS
                )
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            self._give_up()
        self._moved.set()
        self._moving.clear()  # before looking whether to stop: `close` does it the other way

    def _begin_anew(self) -> None:
        """In the writer's thread: move the rest, and have the log written from its start."""
        if self._connection is None:
            return
        mode = "TRUNCATE" if self._size() >= self._cut_bytes else "RESTART"
        try:
            (busy, _, _) = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error:
            self._give_up()
            return
        size = self._size()
        # Busy: somebody reads what the log holds. It grows on, and is tried again a step later.
        self._mark = size + self._step_bytes if busy else max(size, self._step_bytes)

    def _give_up(self) -> None:
        """Disk full, or an error of it: the writer hears of it too. The next step tries again."""
        self._mark = self._size() + self._step_bytes
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
