"""Where callbacks may go: verdicts on URLs when they come in, and on addresses before each connect.

Nothing here asks DNS. `judge_url` refuses what can be refused without it; `judge_address` judges
the address that is really dialled, on every attempt, so that a name that changes its address
gains nothing. `ipaddress.is_global` is not used: it differs between releases of Python and is
true for NAT64, 6to4, multicast and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.errors import SettingsError
from dispatcher.core.urls import BAD_PORTS, Refused, Target, parse_url

__all__ = ["Policy", "Refused", "Target", "judge_address", "judge_addresses", "judge_url"]

_LOOPBACK_NETWORKS = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_LOCAL_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}  # of /etc/hosts
)
_HTTPS_PORT = 443
_HTTP_PORT = 80
_FIRST_UNPRIVILEGED_PORT = 1024


class Policy(Struct, frozen=True):
    """What an operator allows besides https to public addresses.

    - `allow_origins`: as `Target.origin` has them.
    - `allow_networks`: both schemes and any port within them.
    - `dev`: loopback as if it were such a network, and http to public addresses.
    """

    allow_origins: frozenset[str] = frozenset()
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    dev: bool = False

    @classmethod
    def parse(cls, entries: Sequence[str], dev: bool = False) -> Self:
        """The policy of `allow_callbacks` entries.

        Each is an origin (`http://receiver:9000`), a network (`10.0.0.0/8`, `fd00::/8`) or an
        address.

        Raises:
            SettingsError: an entry is none of these; the message says what to write.
        """
        origins: list[str] = []
        networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            if "://" in entry:
                origins.append(_parse_origin(entry))
            else:
                networks.append(_parse_network(entry))
        return cls(frozenset(origins), tuple(networks), dev)

    def admits(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether an allowed network holds the address, or `dev` does because it is loopback.

        An IPv4-mapped address counts as the IPv4 address that it dials.
        """
        plain = _unmapped(address)
        networks = (*self.allow_networks, *_LOOPBACK_NETWORKS) if self.dev else self.allow_networks
        return any(plain in network or address in network for network in networks)


def _parse_origin(entry: str) -> str:
    if "@" in entry:  # not shown: what stands before it may be a password
        raise SettingsError("allow_callbacks has a URL with credentials: write only its origin")
    target = parse_url(entry)
    if isinstance(target, Refused):
        raise SettingsError(f"allow_callbacks {entry!r}: {target.detail}")
    if entry.removesuffix("/").count("/") > len("//") or "?" in entry:
        raise SettingsError(
            f"allow_callbacks {entry!r}: a whole origin is allowed, never a part of it; "
            f"write {target.origin}"
        )
    return target.origin


def _parse_network(entry: str) -> IPv4Network | IPv6Network:
    if "%" in entry:
        raise SettingsError(f"allow_callbacks {entry!r}: a network has no zone")
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        raise SettingsError(
            f"allow_callbacks {entry!r} is neither an origin such as http://receiver:9000 nor a "
            "network such as 10.0.0.0/8"
        ) from None
    if "/" in entry and ip_address(entry.partition("/")[0]) != network.network_address:
        raise SettingsError(
            f"allow_callbacks {entry!r} has bits behind its prefix; write {network}"
        )
    return network


# --- URLs --------------------------------------------------------------------------------------


def judge_url(url: str, policy: Policy) -> Target | Refused:
    """Whether a callback may be sent to the URL, as far as that can be said without DNS.

    A literal address is judged here too. A name whose scheme or port is allowed only in the
    networks of the policy passes as `confined`, so that `judge_address` decides. Never raises.

    Reasons, besides those of `parse_url` and `judge_address`: "local-name", "http", "port".
    """
    target = parse_url(url)
    if isinstance(target, Refused):
        return target
    if target.origin in policy.allow_origins:
        return replace(target, trusted=True)
    if target.literal:
        address = ip_address(target.host)
        if policy.admits(address):
            return replace(target, confined=True)
        if refused := judge_address(address, policy):
            return refused
        return _judge_scheme_and_port(target, policy) or target
    if _is_local_name(target.host):
        if _may_reach_loopback(policy):
            return replace(target, confined=True)
        return Refused(
            "local-name",
            f"{target.host} names this machine (RFC 6761, 6.3); {_how_to_allow(target, dev=True)}",
        )
    if refused := _judge_scheme_and_port(target, policy):
        return replace(target, confined=True) if policy.allow_networks else refused
    return target


def _judge_scheme_and_port(target: Target, policy: Policy) -> Refused | None:
    if target.scheme == "http" and not policy.dev:
        return Refused("http", f"The URL must be https; {_how_to_allow(target, dev=True)}")
    port = target.port
    if port == _HTTPS_PORT or (port == _HTTP_PORT and target.scheme == "http"):
        return None
    if port < _FIRST_UNPRIVILEGED_PORT or port in BAD_PORTS:
        return Refused(
            "port",
            f"Port {port} is not allowed: it must be 443, or above 1023 and not on the WHATWG "
            f"list of bad ports; {_how_to_allow(target)}",
        )
    return None


def _is_local_name(host: str) -> bool:
    name = host.removesuffix(".")
    return name in _LOCAL_NAMES or name.endswith(".localhost")


def _may_reach_loopback(policy: Policy) -> bool:
    return policy.dev or any(
        network.version == loopback.version and network.overlaps(loopback)
        for network in policy.allow_networks
        for loopback in _LOOPBACK_NETWORKS
    )


def _how_to_allow(target: Target, *, dev: bool = False) -> str:
    setting = f"--allow-callbacks {target.origin}"
    return f"the operator can allow it by {setting}{' or --dev' if dev else ''}."


# --- Addresses ---------------------------------------------------------------------------------


class _Block(Struct, frozen=True):
    """A special-purpose block; the high bits of its addresses, shifted right, are `bits`.

    `inner`: people run networks on it on purpose, so that a name on the allow-list may lead there.
    """

    bits: int
    shift: int
    network: str
    reason: str
    name: str
    inner: bool


def _block(network: str, reason: str, name: str, *, inner: bool = False) -> _Block:
    parsed = ip_network(network)
    shift = parsed.max_prefixlen - parsed.prefixlen
    return _Block(int(parsed.network_address) >> shift, shift, network, reason, name, inner)


# The IANA IPv4 Special-Purpose Address Registry, all that is not flagged globally reachable (and
# what lies inside such a block); multicast (RFC 5771); and addresses at which clouds serve
# credentials to their machines. The first that fits gives the reason.
_IPV4_BLOCKS = (
    _block("168.63.129.16/32", "metadata", "Azure WireServer"),  # in no registry
    _block("100.100.100.200/32", "metadata", "Alibaba Cloud metadata"),
    _block("169.254.169.254/32", "metadata", "cloud metadata"),
    _block("192.0.0.192/32", "metadata", "Oracle Cloud metadata"),
    _block("127.0.0.0/8", "loopback", "Loopback (RFC 1122)", inner=True),
    _block("10.0.0.0/8", "private", "Private-Use (RFC 1918)", inner=True),
    _block("172.16.0.0/12", "private", "Private-Use (RFC 1918)", inner=True),
    _block("192.168.0.0/16", "private", "Private-Use (RFC 1918)", inner=True),
    _block("100.64.0.0/10", "private", "Shared Address Space (RFC 6598)", inner=True),
    _block("169.254.0.0/16", "link-local", "Link Local (RFC 3927)"),
    _block("0.0.0.0/8", "reserved", "This network (RFC 791)"),
    _block("192.0.0.0/24", "reserved", "IETF Protocol Assignments (RFC 6890)"),
    _block("192.0.2.0/24", "documentation", "TEST-NET-1 (RFC 5737)"),
    _block("198.51.100.0/24", "documentation", "TEST-NET-2 (RFC 5737)"),
    _block("203.0.113.0/24", "documentation", "TEST-NET-3 (RFC 5737)"),
    _block("192.88.99.0/24", "transition", "Deprecated 6to4 Relay Anycast (RFC 7526)"),
    _block("198.18.0.0/15", "benchmarking", "Benchmarking (RFC 2544)", inner=True),
    _block("224.0.0.0/4", "multicast", "Multicast (RFC 5771)"),
    _block("255.255.255.255/32", "reserved", "Limited Broadcast (RFC 919)"),
    _block("240.0.0.0/4", "reserved", "Reserved (RFC 1112)", inner=True),
)

# The same of the IANA IPv6 registry. Blocks that carry an IPv4 address are refused whatever it is,
# but for IPv4-mapped ones, which are judged as the IPv4 address that they dial.
_IPV6_BLOCKS = (
    _block("::1/128", "loopback", "Loopback Address (RFC 4291)", inner=True),
    _block("::/128", "reserved", "Unspecified Address (RFC 4291)"),
    _block("::/96", "transition", "IPv4-compatible (RFC 4291, 2.5.5.1)"),
    _block("::ffff:0:0:0/96", "transition", "IPv4-translated, SIIT (RFC 2765)"),
    _block("64:ff9b::/96", "transition", "NAT64 (RFC 6052)"),
    _block("64:ff9b:1::/48", "transition", "local-use NAT64 (RFC 8215)"),
    _block("100::/64", "reserved", "Discard-Only (RFC 6666)"),
    _block("100:0:0:1::/64", "reserved", "Dummy IPv6 Prefix (RFC 9780)"),
    _block("2001::/32", "transition", "Teredo (RFC 4380)"),
    _block("2001:2::/48", "benchmarking", "Benchmarking (RFC 5180)"),
    _block("2001::/23", "reserved", "IETF Protocol Assignments (RFC 2928)"),
    _block("2001:db8::/32", "documentation", "Documentation (RFC 3849)"),
    _block("2002::/16", "transition", "6to4 (RFC 3056)"),
    _block("3fff::/20", "documentation", "Documentation (RFC 9637)"),
    _block("5f00::/16", "reserved", "Segment Routing SIDs (RFC 9602)"),
    _block("fd00:ec2::254/128", "metadata", "AWS metadata"),
    _block("fc00::/7", "private", "Unique-Local (RFC 4193)", inner=True),
    _block("fe80::/10", "link-local", "Link-Local Unicast (RFC 4291)"),
    _block("fec0::/10", "reserved", "Deprecated site-local (RFC 3879)"),
    _block("ff00::/8", "multicast", "Multicast (RFC 4291)"),
    # Global unicast is 2000::/3 (the IANA IPv6 Address Space registry); what is left is not.
    _block("::/3", "reserved", "outside Global Unicast 2000::/3"),
    _block("4000::/2", "reserved", "outside Global Unicast 2000::/3"),
    _block("8000::/1", "reserved", "outside Global Unicast 2000::/3"),
)

# The upper half of an ISATAP interface identifier, its universal bit aside (RFC 5214, 6.1).
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF


def judge_address(
    address: IPv4Address | IPv6Address | str, policy: Policy, target: Target | None = None
) -> Refused | None:
    """Why a callback may not be sent to the address; None: it may. Never raises.

    `target` is the URL that is being dialled. An origin on the allow-list that is an address
    leads to just that, and one that is a name may also lead into private networks, but not to
    link-local, metadata, multicast and the like: whoever serves its DNS is not the operator.

    Reasons: "bad-address", "zone", "not-allowed" (of a confined target), "loopback", "private",
    "link-local", "metadata", "multicast", "reserved", "documentation", "benchmarking",
    "transition".
    """
    if isinstance(address, str):
        try:
            address = ip_address(address)
        except ValueError:
            return Refused("bad-address", "What the host stands for is not an address.")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Refused("zone", f"{address} has a zone: it is of one link, not public.")
    if policy.admits(address):
        return None
    plain = _unmapped(address)
    trusted = target is not None and target.trusted
    if target is not None:
        if trusted and target.literal and _unmapped(ip_address(target.host)) == plain:
            return None
        if target.confined:
            return Refused(
                "not-allowed",
                f"{plain} lies in no allowed network, and {target.origin} is allowed nowhere "
                f"else; {_how_to_allow(target)}",
            )
    block = _special_block(plain)
    if block is None or (trusted and block.inner):
        return None
    dev = " or --dev" if block.reason == "loopback" else ""
    return Refused(
        block.reason,
        f"{plain} is not a public address: {block.network} is {block.name}; "
        f"the operator can allow it by --allow-callbacks {plain}{dev}.",
    )


def judge_addresses(
    addresses: Sequence[IPv4Address | IPv6Address | str],
    policy: Policy,
    target: Target | None = None,
) -> Refused | None:
    """The verdict on all the addresses of a name: if one is refused, the name is.

    Without any, the reason is "no-address": there is nothing that may be dialled.
    """
    if not addresses:
        return Refused("no-address", "The name has no address.")
    verdicts = (judge_address(address, policy, target) for address in addresses)
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address behind `::ffff:0:0/96`: a connect to it sends IPv4."""
    if isinstance(address, IPv6Address) and (mapped := address.ipv4_mapped) is not None:
        return mapped
    return address


def _special_block(address: IPv4Address | IPv6Address) -> _Block | None:
    value = int(address)
    blocks = _IPV4_BLOCKS if address.version == 4 else _IPV6_BLOCKS  # noqa: PLR2004  # IPv4
    for block in blocks:
        if value >> block.shift == block.bits:
            return block
    if address.version == 6 and (value >> 32) & _ISATAP_MASK == _ISATAP:  # noqa: PLR2004  # IPv6
        return _special_block(IPv4Address(value & 0xFFFF_FFFF))
    return None
