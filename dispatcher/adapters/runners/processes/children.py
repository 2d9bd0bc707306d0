"""The service's side of the warden: start a child, talk with it, end it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

WARDEN: Final = Path(__file__).with_name("warden.py")
TERM_SECONDS: Final = 2.0
"""After SIGTERM a process group has this long; then it is killed."""

LEAVE_SECONDS: Final = 2.0
"""At the end of the service, children whose input was closed have this long to leave."""

WARDEN_SECONDS: Final = 10.0
"""The warden has this long to kill what is left and to end; then it is killed itself."""

LOST: Final = -signal.SIGKILL
"""The exit status of a child whose warden was killed, and which was killed for that."""

_CHUNK: Final = 65_536


class ChildrenUnavailable(Exception):
    """A child can't be started; the message says why. `errno` is that of exec, None for others."""

    def __init__(self, text: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.errno = errno


class Child:
    """A process that leads a group of its own. Its output must be read, and `close` be called."""

    def __init__(self, children: Children, id_: int, pid: int) -> None:
        self._children = children
        self.id = id_
        self.pid = pid
        self.status: int | None = None
        """Once it and its group have ended: the exit status, negative for a signal."""
        self._ended = asyncio.Event()
        self.stdin: asyncio.StreamWriter
        self.stdout: asyncio.StreamReader
        self.stderr: asyncio.StreamReader
        self.transports: list[asyncio.BaseTransport] = []

    async def wait(self) -> int:
        """The exit status, once nothing of the group is left."""
        await self._ended.wait()
        assert self.status is not None  # noqa: S101  # `ended` sets both
        return self.status

    def signal(self, number: int) -> None:
        """Send a signal to the group; none if it has ended."""
        if self.status is None:
            self._children.say(self.id, number)

    async def stop(self, *, at_once: bool = False) -> int:
        """SIGTERM to the group, SIGKILL after `TERM_SECONDS`; answers when nothing of it is left.

        Being cancelled meanwhile hurries it up, and does not end it. `at_once`: SIGKILL alone.
        """
        if not at_once:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(TERM_SECONDS):
                    return await self.wait()
        self.signal(signal.SIGKILL)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                return await self.wait()

    def ended(self, status: int) -> None:
        """For `Children`: nothing of the group is left."""
        self.status = status
        self._ended.set()

    def close_input(self) -> None:
        """Let it see the end of its input; what was written before still goes out."""
        if self.transports:
            self.transports[0].close()

    def close(self) -> None:
        """Close the pipes; it must have ended."""
        self._children.forget(self)
        for each in self.transports:
            each.close()


class Children:
    """The children of this service, started by a warden of which there is one, from the first on.

    Of one event loop. None of the children outlives the service: see `warden`.
    """

    def __init__(self) -> None:
        self._warden: _Line | None = None
        self._beginning = asyncio.Lock()
        self._ids = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._open: set[Child] = set()
        self._closed = False

    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> Child:
        """Start a program, without a shell, found by the PATH in `env`.

        Raises:
            ChildrenUnavailable: it can't be started.
        """
        starting = asyncio.ensure_future(self._start(argv, env))
        canceled: asyncio.CancelledError | None = None
        while not starting.done():
            try:
                await asyncio.wait((starting,))
            except asyncio.CancelledError as error:  # it may start all the same: see it through
                canceled = error
        if canceled is not None:
            if starting.exception() is None:
                child = starting.result()
                await child.stop(at_once=True)
                child.close()
            raise canceled
        return starting.result()

    async def close(self) -> None:
        """Let the children leave by closing their input; what is left after a while is killed."""
        self._closed = True
        for each in self._children.values():
            each.close_input()
        if self._children:
            waits = [asyncio.ensure_future(each.wait()) for each in self._children.values()]
            await asyncio.wait(waits, timeout=LEAVE_SECONDS)
            for wait in waits:
                wait.cancel()
        if self._warden is not None:
            await self._warden.close()
        for each in list(self._open):
            each.close()
        await asyncio.sleep(0)  # for the pipes to close while there is a loop

    def forget(self, child: Child) -> None:
        """For `Child`: its pipes are closed."""
        self._open.discard(child)

    def say(self, id_: int, number: int) -> None:
        """For `Child`: a signal to its group."""
        if self._warden is not None:
            self._warden.say({"id": id_, "signal": number})

    async def _start(self, argv: Sequence[str], env: Mapping[str, str]) -> Child:
        if self._closed:
            raise ChildrenUnavailable("the service is shutting down")
        warden = await self._the_warden()
        id_ = next(self._ids)
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for to_child in (True, False, False):
                read, write = os.pipe()
                ours.append(write if to_child else read)
                theirs.append(read if to_child else write)
        except OSError as error:
            for each in (*ours, *theirs):
                os.close(each)
            raise ChildrenUnavailable(f"no pipe can be opened ({error.strerror})") from error
        # From here on the line owns `theirs`, and closes them once they are sent.
        pid = warden.begin(id_, {"id": id_, "argv": list(argv), "env": dict(env)}, theirs)
        try:
            child = Child(self, id_, await pid)
        except ChildrenUnavailable:
            for each in ours:
                os.close(each)
            raise
        self._children[id_] = child
        self._open.add(child)
        await _connect(child, ours)
        early = warden.early.pop(id_, None)
        if early is not None:
            self._ended(id_, early)
        return child

    async def _the_warden(self) -> _Line:
        async with self._beginning:
            if self._warden is None or self._warden.broken:
                try:
                    self._warden = await _Line.open(self._ended, self._lost)
                except OSError as error:
                    raise ChildrenUnavailable(
                        f"the process that starts others can't be started ({error.strerror})"
                    ) from error
            return self._warden

    def _ended(self, id_: int, status: int) -> bool:
        child = self._children.pop(id_, None)
        if child is not None:
            child.ended(status)
        return child is not None

    def _lost(self) -> None:
        """The warden was killed: nobody else can end its children now."""
        for id_, child in list(self._children.items()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            self._ended(id_, LOST)


async def _connect(child: Child, ends: Sequence[int]) -> None:
    """Make streams of the pipes' ends: input, output, errors."""
    loop = asyncio.get_running_loop()
    stdin, stdout, stderr = (
        os.fdopen(end, "wb" if n == 0 else "rb", 0) for n, end in enumerate(ends)
    )
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), stdin
    )
    child.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
    child.transports.append(transport)
    readers = []
    for pipe in (stdout, stderr):
        reader = asyncio.StreamReader()
        read, _ = await loop.connect_read_pipe(
            lambda reader=reader: asyncio.StreamReaderProtocol(reader),  # type: ignore[misc]  # bound now
            pipe,
        )
        child.transports.append(read)
        readers.append(reader)
    child.stdout, child.stderr = readers


class _Line:
    """The socket to one warden: what is said goes through a queue, what is heard is passed on."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._control = control
        self._process = process
        self._queue: asyncio.Queue[tuple[bytes, list[int]]] = asyncio.Queue()
        self._beginning: dict[int, asyncio.Future[int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.early: dict[int, int] = {}
        """Ends that were told before the child was known here."""
        self.broken = False

    @classmethod
    async def open(cls, on_end: Any, on_lost: Any) -> _Line:
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-I", "-S", str(WARDEN), str(os.getpid())]
            argv.append(str(theirs.fileno()))
            try:
                process = await asyncio.to_thread(
                    subprocess.Popen,
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        line = cls(ours, process)
        loop = asyncio.get_running_loop()
        line._tasks = [  # its own
            loop.create_task(line._write()),
            loop.create_task(line._read(on_end, on_lost)),
        ]
        return line

    def begin(self, id_: int, said: Mapping[str, Any], streams: list[int]) -> asyncio.Future[int]:
        """Have a child started; answers its pid."""
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._beginning[id_] = pid
        if self.broken:
            _close(streams)
            pid.set_exception(ChildrenUnavailable("the process that starts others has died"))
        else:
            self._queue.put_nowait((_encoded(said), streams))
        return pid

    def say(self, said: Mapping[str, Any]) -> None:
        """Say something in turn."""
        if not self.broken:
            self._queue.put_nowait((_encoded(said), []))

    async def close(self) -> None:
        """End the warden, and with it what is left of its children."""
        self.broken = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):  # its other end is gone
            self._control.shutdown(socket.SHUT_RDWR)  # a fork that a handler made has it open, too
        self._control.close()
        try:
            await asyncio.to_thread(self._process.wait, WARDEN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data, streams = await self._queue.get()
            try:
                sent = await self._send(data, streams)
                if sent < len(data):
                    await loop.sock_sendall(self._control, data[sent:])
            except OSError:
                return  # the reader sees it too, and tells
            finally:
                _close(streams)

    async def _send(self, data: bytes, streams: list[int]) -> int:
        """Send the beginning of `data`, with file descriptors."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return socket.send_fds(self._control, [data], streams)
            except BlockingIOError:
                writable = loop.create_future()
                loop.add_writer(self._control, _set, writable)
                try:
                    await writable
                finally:
                    loop.remove_writer(self._control)

    async def _read(self, on_end: Any, on_lost: Any) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        while True:
            try:
                data = await loop.sock_recv(self._control, _CHUNK)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line), on_end)
        self.broken = True
        self._tasks[0].cancel()
        while not self._queue.empty():
            _close(self._queue.get_nowait()[1])
        for pid in self._beginning.values():
            if not pid.done():
                pid.set_exception(ChildrenUnavailable("the process that starts others has died"))
        on_lost()
        self._control.close()
        await asyncio.to_thread(self._process.wait)

    def _hear(self, said: Mapping[str, int], on_end: Any) -> None:
        id_ = said["id"]
        if "status" in said:
            if not on_end(id_, said["status"]):
                self.early[id_] = said["status"]
            return
        pid = self._beginning.pop(id_)
        if "pid" in said:
            pid.set_result(said["pid"])
        else:
            reason = os.strerror(said["errno"])
            pid.set_exception(ChildrenUnavailable(reason, said["errno"]))


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _encoded(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _close(streams: list[int]) -> None:
    for each in streams:
        os.close(each)
    streams.clear()
