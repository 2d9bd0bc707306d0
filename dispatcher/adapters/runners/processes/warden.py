"""The warden: a small process that starts the service's children, and sees that none outlives it.

It runs as a script of its own, with nothing but the standard library, so that it is small, starts
within milliseconds, and has one thread: it may fork, which the service, with its threads, may not.
Being the parent of every child, it knows them all, whenever the service dies: there is no moment
between starting one and writing that down.

Each child leads a session and a process group of its own. The warden kills what is left of the
group when its leader ends, and reports the end only when the group is empty. When the service ends,
however it does (the socket closes, or its pidfd tells), all groups are killed and the warden ends.
If the warden itself is killed, the kernel kills the leaders (PR_SET_PDEATHSIG), and the service,
which sees the socket close, the groups.

It is started with the service's pid and the file descriptor of a socket, over which the service
sends lines of JSON:

    {"id": 1, "argv": […], "env": {…}}   with three file descriptors: stdin, stdout, stderr
    {"id": 1, "signal": 15}              to the whole group

and is told, in lines too: `{"id": 1, "pid": 4711}`, `{"id": 1, "errno": 2}` if it can't be started,
and `{"id": 1, "status": 0}` of the end, negative for a signal as in `subprocess`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import selectors
import signal
import socket
import sys
import time

CHUNK = 65_536
STREAMS = 3
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 5.0
"""So long a killed group is waited for; a process in an uninterruptible call may stay longer."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_EXEC_FAILED = 127


def _prctl(option: int, value: int) -> None:
    """Linux alone has it; elsewhere what it adds is done without."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Warden:
    """The children of one service."""

    def __init__(self, control: socket.socket, service_pid: int) -> None:
        self._control = control
        self._service_pid = service_pid
        self._selector = selectors.DefaultSelector()
        self._received = b""
        self._streams: list[int] = []
        self._alive = True
        self._leaders: dict[int, int] = {}  # the pid of a child, which is its group's too: its id
        self._ending: dict[int, tuple[int, int, float]] = {}  # pid: id, status, patience ends

    def run(self) -> None:
        """Serve until the service has ended; then leave nothing behind."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Ctrl-C, or a manager that signals every process of a service, is for the service to act
        # on: it drains, and may need its children for that.
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # so that orphans of a group are reaped here
        self._selector.register(wake_read, selectors.EVENT_READ, wake_read)
        self._selector.register(self._control, selectors.EVENT_READ, None)
        self._watch_service()
        while self._alive and os.getppid() == self._service_pid:
            wait = LOOK_SECONDS if self._ending else None
            for key, _ in self._selector.select(wait):
                if key.data is None:
                    self._receive()
                elif key.data == wake_read:
                    _drain(wake_read)
                else:
                    self._alive = False
            self._reap()
        self._kill_all()

    def _watch_service(self) -> None:
        """The socket alone is not enough: a fork that a handler made may keep its other end."""
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(self._service_pid)
                self._selector.register(pidfd, selectors.EVENT_READ, pidfd)

    # --- what the service says -----------------------------------------------------------------

    def _receive(self) -> None:
        try:
            data, streams, _, _ = socket.recv_fds(self._control, CHUNK, STREAMS)
        except OSError:
            data, streams = b"", []
        if not data:
            self._alive = False
            return
        self._streams += streams
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "argv" in said:
                self._start(said["id"], said["argv"], said["env"])
            else:
                self._signal(said["id"], said["signal"])

    def _signal(self, id_: int, number: int) -> None:
        for pid, of in self._leaders.items():
            if of == id_:
                _kill_group(pid, number)

    def _tell(self, **said: int) -> None:
        try:
            self._control.sendall(json.dumps(said).encode() + b"\n")
        except OSError:
            self._alive = False

    # --- children ------------------------------------------------------------------------------

    def _start(self, id_: int, argv: list[str], env: dict[str, str]) -> None:
        streams, self._streams = self._streams[:STREAMS], self._streams[STREAMS:]
        failed_read, failed_write = os.pipe()  # closed by a successful exec
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            os.write(failed_write, str(error.errno).encode())
        if pid == 0:
            _become(argv, env, streams, failed_write)
        os.close(failed_write)
        for each in streams:
            os.close(each)
        failure = os.read(failed_read, 16)
        os.close(failed_read)
        if failure:
            if pid > 0:
                os.waitpid(pid, 0)
            self._tell(id=id_, errno=int(failure))
            return
        self._leaders[pid] = id_
        self._tell(id=id_, pid=pid)

    def _reap(self) -> None:
        """Take note of who has ended; a leader is reaped only once its group was killed.

        Until then its pid can't be another's, so that the signal reaches whom it is meant for.
        """
        while pid := _ended_child():
            if pid in self._leaders:
                _kill_group(pid, signal.SIGKILL)
            try:
                reaped, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # there are none
                break
            if reaped in self._leaders:
                _kill_group(reaped, signal.SIGKILL)  # again, for systems without `waitid`
                code = os.waitstatus_to_exitcode(status)
                patience_ends = time.monotonic() + PATIENCE_SECONDS
                self._ending[reaped] = (self._leaders.pop(reaped), code, patience_ends)
            if not reaped:
                break
        for pid, (id_, code, patience_ends) in list(self._ending.items()):
            if not _group_is_there(pid) or time.monotonic() > patience_ends:
                del self._ending[pid]
                self._tell(id=id_, status=code)

    def _kill_all(self) -> None:
        for pid in (*self._leaders, *self._ending):
            _kill_group(pid, signal.SIGKILL)
        ends = time.monotonic() + PATIENCE_SECONDS
        while (self._leaders or self._ending) and time.monotonic() < ends:
            self._reap()
            time.sleep(LOOK_SECONDS)


def _become(argv: list[str], env: dict[str, str], streams: list[int], failed: int) -> None:
    """In the forked child: turn into the program; never returns."""
    try:
        os.setsid()
        parent = os.getppid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the warden died before that was set
            os._exit(_EXEC_FAILED)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; programs don't
            signal.signal(number, signal.SIG_DFL)
        for target, stream in enumerate(streams):
            os.set_inheritable(stream, False)
            os.dup2(stream, target)
        os.execvpe(argv[0], argv, env)  # noqa: S606  # without a shell: that is the point
    except (OSError, ValueError) as error:
        code = error.errno if isinstance(error, OSError) else None
        os.write(failed, str(code or errno.EINVAL).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _ended_child() -> int | None:
    """The pid of a child that has ended and was not reaped; -1: any that may have."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return -1
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _group_is_there(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, CHUNK):
            pass


if __name__ == "__main__":
    _control = socket.socket(fileno=int(sys.argv[2]))
    _control.set_inheritable(False)
    Warden(_control, int(sys.argv[1])).run()
