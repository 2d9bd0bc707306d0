"""A few hosts on one machine: network namespaces joined by bridges, which can be cut off.

The process that makes them is itself in a namespace of its own (`alone`), so that nothing of it
touches the machine's network. Everything is gone with the processes that hold the namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

INSIDE: Final = "DISPATCHER_TRIAL_INSIDE"
FRONT, BACK = "10.99.0", "10.98.0"
"""Between services, their callers and receivers; and between services and databases."""

_TOOLS: Final = ("ip", "nsenter", "unshare", "setpriv")


def can_isolate() -> bool:
    """Whether namespaces can be made here: by root, with util-linux and iproute2."""
    if os.geteuid() != 0 or any(shutil.which(each) is None for each in _TOOLS):
        return False
    return subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0


def alone(module: str, arguments: list[str]) -> int:
    """Run a module again in a network namespace of its own; gives its exit status."""
    return subprocess.run(
        ["unshare", "--net", sys.executable, "-P", "-m", module, *arguments],
        env=os.environ | {INSIDE: "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    ).returncode


def _ip(*words: str | int) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


class Host(Struct, frozen=True):
    """A host: `enter` before a command runs it there; `front` and `back` are its addresses."""

    name: str
    number: int
    pid: int

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    @property
    def front(self) -> str:
        return f"{FRONT}.{self.number}"

    @property
    def back(self) -> str:
        return f"{BACK}.{self.number}"


class Network:
    """Two bridges, and hosts on both. This process has the address 1 on each."""

    def __init__(self) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        _ip("link", "set", "lo", "up")
        for name, subnet in (("front", FRONT), ("back", BACK)):
            _ip("link", "add", name, "type", "bridge")
            _ip("addr", "add", f"{subnet}.1/24", "dev", name)
            _ip("link", "set", name, "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._holders:
            each.kill()
            each.wait()

    def host(self, name: str, number: int) -> Host:
        """Add a host; `number` is the last part of its addresses."""
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE
        )
        self._holders.append(holder)
        assert holder.stdout is not None  # noqa: S101  # it was opened as a pipe
        holder.stdout.readline()  # once it has written, its namespace is there
        holder.stdout.close()
        host = Host(name, number, holder.pid)
        for bridge, address in (("front", host.front), ("back", host.back)):
            here = f"{bridge}{number}"
            _ip("link", "add", here, "type", "veth", "peer", bridge, "netns", host.pid)
            _ip("link", "set", here, "master", bridge, "up")
            inside = [*host.enter, "ip"]
            subprocess.run([*inside, "addr", "add", f"{address}/24", "dev", bridge], check=True)
            subprocess.run([*inside, "link", "set", bridge, "up"], check=True)
        subprocess.run([*host.enter, "ip", "link", "set", "lo", "up"], check=True)
        return host

    def cut(self, host: Host) -> None:
        """Cut a host off from the databases: what it sends there vanishes without an answer."""
        _ip("link", "set", f"back{host.number}", "down")

    def mend(self, host: Host) -> None:
        """Undo `cut`."""
        _ip("link", "set", f"back{host.number}", "up")
