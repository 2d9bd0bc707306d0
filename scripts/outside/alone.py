"""A network of one's own: nothing but loopback can be reached, whatever a program tries."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 0x1
_NOT_POSSIBLE = 77
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_URL = re.compile(r"https?:", re.IGNORECASE)


def wrapped(command: Sequence[str]) -> list[str] | None:
    """The command, to be run in a network of its own; None: that is not possible here.

    It needs Linux, and root or user namespaces. Root stays who it is: mapped, it could not reach
    what belongs to another user, such as the socket of a PostgreSQL.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    for how in (["--net"], ["--map-root-user", "--net"]):
        inside = [unshare, *how, sys.executable, "-m", "scripts.outside.alone"]
        tried = subprocess.run(
            [*inside, "true"], cwd=ROOT, capture_output=True, check=False, timeout=30
        )
        if tried.returncode == 0:
            return [*inside, *command]
    return None


def is_ours(text: str) -> bool:
    """Whether a text can't lead out of this machine."""
    if not _URL.match(text.strip()):
        return True
    try:
        return urlsplit(text).netloc.rpartition(":")[0] in _LOCAL
    except ValueError:
        return False


def main() -> None:
    """Bring loopback up, see that nothing else is there, and become the command."""
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        print(f"this network has more than loopback: {names}", file=sys.stderr)
        sys.exit(_NOT_POSSIBLE)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # the command, as it was given


if __name__ == "__main__":
    main()
