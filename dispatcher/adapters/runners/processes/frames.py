"""What the service and a worker process say to each other: JSON, each message behind its length.

The service says `Boot`, then `Do` for one job after another, `Stop` while one runs, and `Kept` in
answer to each `Output`. The worker says `Ready`, and of each job what it tells, then its `Ended`.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dispatcher.core.model import Job, Progress

LENGTH_BYTES: Final = 4
MOST_BYTES: Final = 2 ** (8 * LENGTH_BYTES) - 1

# --- From the service --------------------------------------------------------------------------


class Boot(Struct, frozen=True, tag="boot"):
    """Where the handler is: the import path, its module and the module's file, and its job type.

    `level` is the least level that the service logs at.
    """

    path: list[str]
    module: str
    file: str | None
    job_type: str
    level: int


class Do(Struct, frozen=True, tag="do"):
    """Do this job. Its callback is left out: that is not the handler's business."""

    job: Job
    input: Raw


class Stop(Struct, frozen=True, tag="stop"):
    """The job is to stop."""


class Kept(Struct, frozen=True, tag="kept"):
    """The latest output was kept; or could not be (`error`) or may not be (`refused`), and why."""

    error: str | None = None
    refused: str | None = None


ToWorker: TypeAlias = Boot | Do | Stop | Kept

# --- From the worker ---------------------------------------------------------------------------


class Ready(Struct, frozen=True, tag="ready"):
    """The handler was found; or why not."""

    error: str | None = None


class Told(Struct, frozen=True, tag="progress"):
    """How far the job is."""

    progress: Progress


class Output(Struct, frozen=True, tag="output"):
    """An intermediate result."""

    output: Raw


class Logged(Struct, frozen=True, tag="log"):
    """A record of the standard library's logging, its traceback as text."""

    name: str
    level: int
    text: str
    trace_back: str | None = None


class Ended(Struct, frozen=True, tag="ended"):
    """How the job came out. `kind` names the outcome; None: it was stopped.

    `code`, `detail` and `seconds` are its members, as far as it has them.
    """

    kind: str | None
    result: Raw | UnsetType = UNSET
    code: str = ""
    detail: str = ""
    seconds: float | None = None


FromWorker: TypeAlias = Ready | Told | Output | Logged | Ended

# --- Framing -----------------------------------------------------------------------------------

to_worker: Final = msgspec.json.Decoder(ToWorker)
from_worker: Final = msgspec.json.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """A message as it goes over the pipe; raises `ValueError` if it is 4 GiB long."""
    data = msgspec.json.encode(message)
    if len(data) > MOST_BYTES:
        raise ValueError("a message to or from a worker process is longer than 4 GiB")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


async def receive(stream: asyncio.StreamReader) -> bytes | None:
    """The next message's JSON; None at the end of the stream, even in the middle of one."""
    try:
        length = int.from_bytes(await stream.readexactly(LENGTH_BYTES), "big")
        return await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
