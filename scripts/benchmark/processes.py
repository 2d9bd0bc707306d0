"""The processes of the benchmark: started with an order in a file, ended with their stdin."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from .baselines import BaselineOrder
from .generator import GeneratorOrder, Measured
from .receiver import Findings, ReceiverOrder
from .terms import BenchmarkFailed

T = TypeVar("T")
ROOT: Final = Path(__file__).resolve().parents[2]

_numbers = itertools.count()


def named(caller: str) -> str:
    """A caller's name that no scenario before has used: on PostgreSQL they share a database."""
    return f"{caller}-{os.getpid()}-{next(_numbers)}"


def written(order: Struct, folder: Path) -> str:
    """The file that holds the order: it may be longer than an argument can be."""
    file = folder / f"order-{next(_numbers)}.json"
    file.write_bytes(msgspec.json.encode(order))
    return str(file)


@contextlib.contextmanager
def process(
    module: str, argument: str, inherited: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A process of the benchmark, once it has said `ready`; it ends when its stdin is closed."""
    started = subprocess.Popen(
        [sys.executable, "-m", f"scripts.benchmark.{module}", argument],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=inherited,
    )
    try:
        assert started.stdout is not None  # noqa: S101  # it was opened as a pipe
        if started.stdout.readline().strip() != "ready":
            raise BenchmarkFailed(f"{module} did not start")
        yield started
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.communicate(timeout=10)
        started.kill()
        started.wait()


@contextlib.contextmanager
def receiver(order: ReceiverOrder, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The receiver, and the end of the pipe that it tells arrivals through."""
    read_end, write_end = os.pipe()
    try:
        telling = msgspec.structs.replace(order, feedback=write_end)
        with process("receiver", written(telling, folder), (write_end,)) as started:
            yield started, read_end
    finally:
        os.close(read_end)
        os.close(write_end)


def findings(started: subprocess.Popen[str], folder: Path) -> Findings:
    """What the receiver saw; it ends."""
    started.communicate(timeout=30)
    return _read(str(folder / "findings.json"), Findings)


async def generate(order: GeneratorOrder | BaselineOrder, folder: Path) -> Measured:
    """Let the generator, or a baseline, do what is ordered.

    Raises:
        BenchmarkFailed: it could not.
    """
    module, feedback = "baselines", None
    if isinstance(order, GeneratorOrder):
        module, feedback = "generator", order.feedback
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", f"scripts.benchmark.{module}", written(order, folder)],
        cwd=ROOT,
        check=False,
        pass_fds=() if feedback is None else (feedback,),
    )
    if done.returncode != 0:
        raise BenchmarkFailed(f"the {module} failed or lost a connection; its error stands above")
    return _read(order.measured, Measured)


def _read(file: str, kind: type[T]) -> T:
    return msgspec.json.decode(Path(file).read_bytes(), type=kind)


def memory(pid: int) -> tuple[float, float] | None:
    """Resident megabytes now, and at the peak."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024
