"""One attempt on its way to an address: resolved, judged, and the socket made only where it may go.

Both senders dial through here, so that one policy holds at one place, on every attempt.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final, TypeAlias

from dispatcher.adapters.resolver import NOTHING_LEFT, LookupFailed, NameResolver
from dispatcher.core.addresses import (
    Policy,
    Refused,
    Target,
    judge_address,
    judge_addresses,
)

# A name may have hundreds of addresses; all are judged, and so many are tried.
_DIALLED_ADDRESSES: Final = 8


# As `socket.getaddrinfo` gives it.
AddressInfo: TypeAlias = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]
]


class AddressRefused(OSError):
    """Policy refuses the address; `Dial.refused` says why.

    It is an OSError since aiohappyeyeballs (aiohttp dials by it) keeps no other kind.
    """


class Dial:
    """One attempt on its way: where it goes and for whom, how far it has come, why it stopped.

    `short_of` says what this machine had none left of, so that an address could not be tried.
    """

    __slots__ = ("caller_id", "phase", "refused", "short_of", "status", "target")

    def __init__(self, target: Target, caller_id: str) -> None:
        self.target = target
        self.caller_id = caller_id
        self.phase = "queue"  # then "dns" of a name, "connect", and "answer" once it is connected
        self.refused: Refused | None = None
        self.short_of: str | None = None
        self.status: int | None = None

    @property
    def not_tried(self) -> str | None:
        """Why, if the attempt ended before anything was sent for want of this machine's own."""
        return None if self.phase == "answer" else self.short_of

    async def resolve(self, names: NameResolver, policy: Policy) -> tuple[str, ...]:
        """The addresses to try, in order; a name of which any address is refused is refused.

        Raises:
            LookupFailed: the name has no address, or nobody can tell now.
            AddressRefused: policy refuses one of its addresses.
        """
        self.phase = "dns"
        try:
            addresses = await names.addresses(self.target.host, self.caller_id)
        except LookupFailed as failure:
            if failure.ours:
                self.short_of = str(failure)
            raise
        self.refused = judge_addresses(addresses, policy, self.target)
        if self.refused is not None:
            raise AddressRefused(self.refused.detail)
        return addresses[:_DIALLED_ADDRESSES]

    def open_socket(self, info: AddressInfo, policy: Policy) -> socket.socket:
        """A socket for an address, called right before it is connected.

        Raises:
            AddressRefused: policy refuses the address.
        """
        self.phase = "connect"
        family, kind, protocol, _, address = info
        refused = judge_address(str(address[0]), policy, self.target)
        if refused is not None:
            self.refused = refused
            raise AddressRefused(refused.detail)
        try:
            return socket.socket(family, kind, protocol)
        except OSError as fault:
            self.failed_by(fault)
            raise

    def failed_by(self, fault: OSError) -> None:
        """Note what the system says of an address that could not be connected to."""
        if fault.errno in NOTHING_LEFT:
            self.short_of = _nothing_left(fault.errno)


def _nothing_left(number: int) -> str:
    said = os.strerror(number)
    if number == errno.EMFILE:
        return f"{said}: raise the limit of this process (ulimit -n, LimitNOFILE=)"
    return said


def may_show(address: str, policy: Policy) -> bool:
    """Whether an answer from there may be shown: from an address that everybody may see.

    Of what an operator allowed besides, nothing is kept.
    """
    return judge_address(address, Policy(dev=policy.dev)) is None
