"""Threads that run `def` handlers."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

_Work: TypeAlias = "tuple[Future[T], Callable[[], T]]"


class Threads(Generic[T]):
    """Up to `size` threads, started as they are needed and kept.

    They are kept so that handlers may cache in `threading.local`. Unlike the threads of
    `concurrent.futures.ThreadPoolExecutor` they are daemons: a handler that hangs must not keep the
    process from ending after the grace (its lease ends, and the job runs anew). They end when the
    pool is no longer referred to.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._queue: SimpleQueue[_Work[T] | None] = SimpleQueue()
        self._load = _Load()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        # Neither the threads nor the finalizer may refer to the pool, or it would never end.
        weakref.finalize(self, _end, self._queue, self._threads)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` as soon as a thread is free; until then the future can be canceled.

        Raises:
            RuntimeError: there is no thread, and none can be started; `work` never runs.
        """
        future: Future[T] = Future()
        with self._lock:
            if len(self._threads) < min(self._load.count + 1, self._size):
                self._start_thread()
            self._load.add(1)
            self._queue.put((future, work))
        return future

    def _start_thread(self) -> None:
        """Start another thread; where none can be started, those that live do its work."""
        try:
            thread = threading.Thread(
                target=_serve,
                args=(self._queue, self._load),
                name=f"{self._name}-{len(self._threads)}",
                daemon=True,
            )
            thread.start()
        except (RuntimeError, MemoryError):
            if not self._threads:
                raise
        else:
            self._threads.append(thread)


class _Load:
    """How much work is queued or under way: where it is more than there are threads, one lacks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, change: int) -> None:
        with self._lock:
            self.count += change


def _serve(queue: SimpleQueue[_Work[T] | None], load: _Load) -> None:
    while (item := queue.get()) is not None:
        future, work = item
        if future.set_running_or_notify_cancel():
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        del item, future, work  # an idle thread keeps nothing alive
        load.add(-1)


def _end(queue: SimpleQueue[_Work[T] | None], threads: list[threading.Thread]) -> None:
    for _ in threads:
        queue.put(None)
