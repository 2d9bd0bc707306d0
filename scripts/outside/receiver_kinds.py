"""The receivers of `examples/receivers`: what each needs, how it is installed and started."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from .process import free_port

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "receivers"
PYTHON_KINDS: Final = ("aiohttp", "fastapi", "flask", "v1a")
KINDS: Final = (*PYTHON_KINDS, "express", "go")

INSTALL_SECONDS: Final = 90.0
START_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02

# What npm, Go and pip say when a registry can't be reached, or the toolchain is too old: nothing of
# this is the receiver's fault.
_OUT_OF_REACH: Final = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT"
    r"|dial tcp|i/o timeout|connection refused|GOPROXY=off|requires go >="
    r"|Failed to establish a new connection|NameResolutionError|ReadTimeoutError",
)


class Unavailable(Exception):
    """This machine can't try the receiver; the message says what is missing."""


class InstallFailed(Exception):
    """What the receiver needs could not be installed, and the network is not why."""


class Running(Struct):
    """A receiver's process. Its files lie in `folder`; `port` and `environment` outlive it."""

    command: list[str]
    folder: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """The end of what it has written, over all its lives."""
        file = self.folder / "receiver.log"
        return file.read_text("utf-8", errors="replace")[-5_000:] if file.exists() else ""

    async def start(self) -> None:
        """Start it and return once it listens; raises `RuntimeError` if it never does."""
        process = self._spawn()
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode}:\n{self.log}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                writer.close()
                return
        raise RuntimeError(f"it did not listen within {START_SECONDS} s:\n{self.log}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder / "receiver.log").open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone. Without effect if it does not run."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def prepared(kind: str, folder: Path, settings: dict[str, str], *, python: str | None) -> Running:
    """Install what a receiver needs into `folder`; it runs there once it is started.

    Args:
        kind: one of `KINDS`.
        folder: exists and is empty.
        settings: for its environment, besides PORT.
        python: that of an environment which has what the Python receivers need; None makes one.

    Raises:
        Unavailable: a program is missing, or the packages are out of reach.
        InstallFailed: anything else that kept it from being installed.
    """
    command = _installed(kind, folder, python)
    run = folder / "run"
    run.mkdir()
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**kept, "PYTHONUNBUFFERED": "1", "PORT": str(port), **settings}
    return Running(command, run, port, environment)


def _installed(kind: str, folder: Path, python: str | None) -> list[str]:
    source = EXAMPLES / kind
    if kind == "express":
        node, npm = _found("node"), _found("npm")
        target = folder / kind
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules"))
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        _install([npm, "install", *quiet, "--fetch-retries=1", "--fetch-timeout=20000"], target)
        return [node, str(target / "receiver.js")]
    if kind == "go":
        _install(
            [_found("go"), "build", "-buildvcs=false", "-o", str(folder / "receiver"), "."], source
        )
        return [str(folder / "receiver")]
    if python is None:
        _install([sys.executable, "-m", "venv", str(folder / "venv")], folder)
        python = str(folder / "venv" / "bin" / "python")
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _install([*pip, "-r", str(source / "requirements.txt")], folder)
    return [python, str(source / "receiver.py")]


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} is not installed")
    return path


def _install(command: Sequence[str], folder: Path) -> None:
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} did not end within {INSTALL_SECONDS:g} s") from None
    if done.returncode != 0:
        if _OUT_OF_REACH.search(done.stdout):
            raise Unavailable(f"{name} can't install what it needs: {done.stdout[-500:]}")
        raise InstallFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
