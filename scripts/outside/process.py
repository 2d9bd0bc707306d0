"""One `dispatcher serve` process: started, watched, drained and killed from the outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

START_SECONDS = 20.0
POLL_SECONDS = 0.02
KEPT_LINES = 2_000
HTTP_OK = 200


TRIAL_STORE = "DISPATCHER_TRIAL_STORE"
"""The name in the environment of a PostgreSQL that services run on in place of a file."""


def on_postgres(url: str) -> dict[str, str]:
    """The environment of a service on PostgreSQL, whose leases end soon after it was killed."""
    return {
        "DISPATCHER_STORE": url,
        "DISPATCHER_SECRET_KEY": f"dsk_{'A' * 43}",
        "DISPATCHER_LEASE_SECONDS": "3",
    }


class Credentials(Struct, frozen=True):
    """What `dispatcher callers create` prints once: the caller's API key and signing secret."""

    api_key: str
    secret: str


class ServiceDied(Exception):
    """The process ended, or never became ready. The message holds the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def dispatcher_command(tree: Path | None = None) -> str:
    """The `dispatcher` installed beside this interpreter, or that of another checkout's `.venv`."""
    binaries = Path(sys.executable).parent if tree is None else tree / ".venv" / "bin"
    return str(binaries / "dispatcher")


class Service:
    """A service of its own: its folder holds the SQLite file, its port is free when it is made.

    Args:
        folder: exists, and is on a disk.
        app: what to serve, as for `dispatcher serve`; None serves the built-in types alone.
        dev: whether `--dev` is given.
        allow: origins or networks for `--allow-callbacks`.
        environment: settings as environment variables, over those of this process.
        wrapper: a command to run the service under, such as `unshare`.
        command: what stands for `dispatcher`.
        log_file: where its output goes, unread; None keeps the last lines in `log`.
        host: the address that it listens on.
        options: further options of `dispatcher serve`.
        tree: another checkout, set up, whose `dispatcher` is run; None runs this one's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        app: str | None = None,
        dev: bool = False,
        allow: Sequence[str] = (),
        port: int | None = None,
        environment: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        command: Sequence[str] | None = None,
        log_file: Path | None = None,
        host: str = "127.0.0.1",
        options: Sequence[str] = (),
        tree: Path | None = None,
    ) -> None:
        self.folder = folder
        self.database = folder / "dispatcher.db"
        self.port = free_port() if port is None else port
        self.host = host
        self.url = f"http://{host}:{self.port}"
        self._wrapper = list(wrapper)
        self._command = [dispatcher_command(tree)] if command is None else list(command)
        self._log_file = log_file
        self._arguments = [app] if app else []
        self._arguments += ["--host", host, "--port", str(self.port), "--public-url", self.url]
        self._arguments += ["--dev"] if dev else []
        for origin in allow:
            self._arguments += ["--allow-callbacks", origin]
        self._arguments += options
        self._environment = dict(os.environ)
        # What whoever runs this has set for a service of theirs must not steer ours.
        for name in [each for each in self._environment if each.startswith("DISPATCHER_")]:
            del self._environment[name]
        if tree is not None:
            # It would put this checkout's modules before the other's.
            self._environment.pop("PYTHONPATH", None)
        self._environment["DISPATCHER_STORE"] = f"sqlite:///{self.database}"
        if TRIAL_STORE in os.environ:
            self._environment |= on_postgres(os.environ[TRIAL_STORE])
        self._environment |= environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._said = threading.Condition()

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._running().pid

    @property
    def ended(self) -> bool:
        """Whether the process that was started is gone."""
        return self._running().poll() is not None

    @property
    def log(self) -> str:
        """The last lines that the process wrote, over all its lives."""
        if self._log_file is not None and self._log_file.exists():
            return self._log_file.read_text(encoding="utf-8", errors="replace")[-10_000:]
        return "\n".join(self._lines)

    async def create_caller(self, name: str, role: str = "caller") -> Credentials:
        """Run `dispatcher callers create`, as an operator would before or while it is served."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*self._wrapper, *self._command, "callers", "create", name, "--role", role, "--json"],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        if done.returncode != 0:
            raise ServiceDied(f"callers create ended with {done.returncode}: {done.stderr}")
        shown = json.loads(done.stdout)
        return Credentials(shown["apiKey"], shown["secret"])

    def spawn(self) -> None:
        """Start the process without waiting until it is ready."""
        if self._process is not None and self._process.poll() is None:
            raise RuntimeError("the service is running already")
        self._close()
        with contextlib.ExitStack() as opened:
            output = subprocess.PIPE
            if self._log_file is not None:
                output = opened.enter_context(self._log_file.open("ab")).fileno()
            self._process = subprocess.Popen(
                [*self._wrapper, *self._command, "serve", *self._arguments],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A session of its own: Ctrl-C goes to who started it, and they decide.
                start_new_session=True,
            )
        if self._process.stdout is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()

    async def start(self) -> None:
        """Start the process and return once `/readyz` says 200."""
        self.spawn()
        await self.until_ready()

    async def until_ready(self, seconds: float = START_SECONDS) -> None:
        """Return once `/readyz` answers 200.

        Raises:
            ServiceDied: the process ended, or the time is up.
        """
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if self._running().poll() is not None:
                raise ServiceDied(f"the service ended with {self._running().poll()}:\n{self.log}")
            with contextlib.suppress(OSError):
                if await self.status_of("/readyz") == HTTP_OK:
                    return
            await asyncio.sleep(POLL_SECONDS)
        raise ServiceDied(f"the service was not ready within {seconds} s:\n{self.log}")

    async def until_says(self, text: str, seconds: float = START_SECONDS) -> None:
        """Return once the process has written a line that contains `text`.

        Raises:
            TimeoutError: it has not, within `seconds`.
        """

        def said() -> bool:
            return any(text in line for line in self._lines)

        def wait() -> bool:
            with self._said:
                return self._said.wait_for(said, seconds)

        if not await asyncio.to_thread(wait):
            raise TimeoutError(f"it did not say {text!r} within {seconds} s:\n{self.log}")

    async def status_of(self, path: str) -> int:
        """The status of a GET without a key, over a connection of its own."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            line = await reader.readline()
            if not line:
                raise ConnectionResetError("closed without an answer")
            return int(line.split()[1])
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def kill(self) -> float:
        """`kill -9` it and what it has started, and wait until it is gone.

        Gives the monotonic second by which it was. What it has written may come later: others that
        it started may still hold the pipe, for seconds on a busy machine.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running().pid, signal.SIGKILL)
        self._running().wait()
        gone_at = time.monotonic()
        self._close()
        return gone_at

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, and what it has started: to stop them, or let them go on."""
        os.killpg(self._running().pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._running().send_signal(signal.SIGTERM)

    async def wait(self, seconds: float = START_SECONDS) -> int:
        """The exit status, once the process has ended.

        Raises:
            TimeoutError: it is still running after `seconds`.
        """
        process = self._running()
        try:
            status = await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {seconds} s:\n{self.log}") from None
        self._close()
        return status

    async def stop(self, seconds: float = START_SECONDS) -> int:
        """SIGTERM, then the exit status."""
        self.ask_to_stop()
        return await self.wait(seconds)

    def end(self) -> None:
        """Whatever its state, let nothing of it be left: for `finally`."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the service was not started")
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101  # it was opened as a pipe
        # Closed by who reads it: another's close would wait for the read, and so for all that the
        # process has started and that still holds the pipe.
        with process.stdout as output:
            for line in output:
                with self._said:
                    self._lines.append(line.rstrip("\n"))
                    self._said.notify_all()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=5)
            self._reader = None
