"""Several processes on one machine, behind one port: started, watched, started again, stopped.

The parent serves nothing. It holds the port without listening, so that nobody else takes it, and
each child listens on a socket of its own there (SO_REUSEPORT): the kernel spreads connections over
those that live, and new ones go to the others the moment that one dies. On a socket that all
inherit, whoever wakes first would take a whole burst of connections, and keep them.

A child is a fork made before the app is loaded or a thread is started; it takes the app from there.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from dispatcher.compose.ending import EXIT_UNFINISHED

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A child that lived so long is started again without a long wait."""

LEEWAY_SECONDS: Final = 30.0
"""Beyond their grace children have so long to end, then they are killed."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Said(msgspec.Struct):
    """A line from a child: its greeting once it serves, or what a person should read."""

    text: str
    ready: bool = False


class Child:
    """What a child has of its parent: its number (from 1), a way to be read, a sign of life."""

    def __init__(self, number: int, words: int, life: int) -> None:
        """`words` is a pipe to the parent; `life` one from it, whose end is the parent's end."""
        self.number = number
        self.life = life
        self._words = words

    def ready(self, greeting: str) -> None:
        """It serves."""
        self._write(Said(greeting, ready=True))

    def say(self, text: str) -> None:
        """Have the parent say it."""
        self._write(Said(text))

    def _write(self, said: Said) -> None:
        with suppress(OSError):  # the parent has gone: nobody is left to read
            os.write(self._words, msgspec.json.encode(said) + b"\n")


class _Process(msgspec.Struct):
    """A child as the parent sees it."""

    number: int
    pid: int = 0
    words: int = -1
    started_at: float = 0.0
    restart_at: float | None = None
    wait_seconds: float = 0.0
    ready: bool = False
    heard: bytes = b""


class Supervisor:
    """Keeps `count` children alive until it is told to stop."""

    def __init__(
        self, count: int, *, grace_seconds: float, announce: Callable[[str], None]
    ) -> None:
        self._processes = [_Process(number) for number in range(1, count + 1)]
        self._grace_seconds = grace_seconds
        self._announce = announce
        self._selector = selectors.DefaultSelector()
        self._life_read, self._life = os.pipe()
        self._bell_read, self._bell = socket.socketpair()
        self._greeting: str | None = None
        self._greeted = False
        self._kill_at: float | None = None
        self._code = 0

    def run(self) -> int | Child:
        """In the parent: the exit status, at the end. In each child: what it is, at once."""
        for end in (self._bell_read, self._bell):
            end.setblocking(False)
        before = [signal.signal(each, lambda *_: None) for each in _SIGNALS]
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._bell_read, selectors.EVENT_READ)
        child = self._start(self._processes[0])
        while child is None and self._alive():
            for key, _ in self._selector.select(self._until_next()):
                if key.data is None:
                    self._on_signals(self._bell_read.recv(256))
                else:
                    self._on_words(key.data)
            self._reap()
            child = self._start_due()
        if child is not None:
            return child
        signal.set_wakeup_fd(-1)
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
        return self._code

    # --- children ----------------------------------------------------------------------------

    def _start(self, process: _Process) -> Child | None:
        """Fork; the child's part of it in the child, None in the parent."""
        sys.stdout.flush()
        sys.stderr.flush()
        words_read, words = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # or a child's would ring our bell
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(words_read)
            os.close(words)
            raise
        if pid == 0:
            self._let_go(words_read)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return Child(process.number, words, self._life_read)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(words)
        process.pid, process.words, process.heard = pid, words_read, b""
        process.started_at, process.restart_at, process.ready = time.monotonic(), None, False
        self._selector.register(words_read, selectors.EVENT_READ, process)
        return None

    def _let_go(self, words_read: int) -> None:
        """In a child: give up what is the parent's. Ctrl-C reaches all; the parent passes it on."""
        signal.set_wakeup_fd(-1)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.close()
        self._bell_read.close()
        self._bell.close()
        os.close(self._life)
        os.close(words_read)
        for other in self._processes:
            if other.words >= 0:
                os.close(other.words)

    def _start_due(self) -> Child | None:
        now = time.monotonic()
        for process in self._processes:
            if process.restart_at is not None and process.restart_at <= now and not self._stopping:
                try:
                    child = self._start(process)
                except OSError as error:  # no memory, too many processes: those that live go on
                    process.started_at = now
                    self._put_off(process, f"can't be started ({error.strerror})")
                    continue
                if child is not None:
                    return child
        return None

    def _put_off(self, process: _Process, why: str) -> None:
        """Have it started again, later from time to time."""
        lived = time.monotonic() - process.started_at
        twice = 0.0 if lived >= STEADY_SECONDS else process.wait_seconds * 2
        process.wait_seconds = min(max(twice, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        process.restart_at = time.monotonic() + process.wait_seconds
        self._announce(
            f"Process {process.number} {why}; it is started again in {process.wait_seconds:g} s."
        )

    def _reap(self) -> None:
        for process in self._processes:
            if process.pid:
                pid, status = os.waitpid(process.pid, os.WNOHANG)
                if pid:
                    self._on_words(process)
                    self._ended(process, os.waitstatus_to_exitcode(status))

    def _ended(self, process: _Process, code: int) -> None:
        pid, process.pid = process.pid, 0
        self._selector.unregister(process.words)
        os.close(process.words)
        process.words = -1
        if self._stopping:
            if code not in {0, -signal.SIGTERM}:  # ended by it, it had not even begun
                self._code = EXIT_UNFINISHED
            return
        if self._greeting is None:  # the first did not even begin: it has said why
            self._code = code if code > 0 else EXIT_UNFINISHED
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        self._put_off(process, f"(pid {pid}) {how}")

    def _alive(self) -> bool:
        waiting = not self._stopping and any(each.restart_at for each in self._processes)
        return waiting or any(each.pid for each in self._processes)

    # --- what comes in -------------------------------------------------------------------------

    def _on_words(self, process: _Process) -> None:
        """Read what a child said, without waiting for more."""
        os.set_blocking(process.words, False)
        with suppress(BlockingIOError):
            while data := os.read(process.words, 65_536):
                process.heard += data
        *lines, process.heard = process.heard.split(b"\n")
        for line in lines:
            said = msgspec.json.decode(line, type=Said)
            if said.ready:
                self._on_ready(process, said.text)
            else:
                self._announce(said.text)

    def _on_ready(self, process: _Process, greeting: str) -> None:
        process.ready = True
        if self._greeting is None:  # the first: the others find a schema and types that are there
            self._greeting = greeting
            for other in self._processes:
                if other is not process:
                    other.restart_at = time.monotonic()
        if not self._greeted and all(each.ready for each in self._processes):
            self._greeted = True
            self._announce(self._greeting)

    @property
    def _stopping(self) -> bool:
        return self._kill_at is not None

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                continue
            if self._stopping:
                self._kill(signal.SIGKILL)
                self._code = EXIT_UNFINISHED
            else:
                self._kill_at = time.monotonic() + self._grace_seconds + LEEWAY_SECONDS
                self._announce(
                    f"Stopping: what is in flight has {self._grace_seconds:g} s to finish."
                )
                self._kill(signal.SIGTERM)

    def _kill(self, how: signal.Signals) -> None:
        for process in self._processes:
            if process.pid:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, how)

    def _until_next(self) -> float | None:
        """How long there is nothing to do but to wait for a signal or a word."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill(signal.SIGKILL)
                return 1.0
            return self._kill_at - now
        starts = [each.restart_at for each in self._processes if each.restart_at is not None]
        return max(min(starts) - now, 0.0) if starts else None
