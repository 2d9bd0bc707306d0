"""How the URL of a callback must be written.

What is checked must be what is dialled. Parsers strip, decode and normalise in ways of their own
(control characters, percent-encoded hosts, fullwidth digits, `127.1`, backslashes), so a URL
about which two of them could differ is refused as it stands, and one that passes is dialled
exactly as it was written. Where it may lead is judged in `addresses`.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

MAX_URL_LENGTH = 2_048
MAX_PORT = 65_535

DEFAULT_PORTS = {"http": 80, "https": 443}

# WHATWG Fetch, "Port blocking": https://fetch.spec.whatwg.org/#port-blocking
BAD_PORTS = frozenset(
    int(port)
    for port in """
    0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111
    113 115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540
    548 554 556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000
    6566 6665 6666 6667 6668 6669 6679 6697 10080
    """.split()  # noqa: SIM905  # as a table it would take a page
)

_VISIBLE_ASCII = re.compile(r"[!-~]+")
_AUTHORITY = re.compile(r"[^/?]*")
_PORT = re.compile("0*([0-9]{1,5})")
_LABEL = re.compile("[a-z0-9_-]{1,63}")
# WHATWG URL, "ends in a number checker": such a host is an IPv4 address or no host at all.
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_MAX_NAME_LENGTH = 253
_MAPPED_HIGH_BITS = 0xFFFF  # ::ffff:0:0/96, shifted by its 32 bits


class Refused(Struct, frozen=True):
    """A verdict against a URL or an address.

    `reason` is a stable word, `detail` a sentence for a person, with the setting that would
    allow it if there is one.
    """

    reason: str
    detail: str


class Target(Struct, frozen=True):
    """A URL whose writing leaves no doubt, taken apart.

    - `url` is exactly the text that was checked, and the one to dial.
    - `scheme` is "http" or "https".
    - `host` is in lower case; an IPv6 address has no brackets, and a name keeps its final dot.
    - `origin` is scheme, host and port, in lower case, the port only if it is not the scheme's.
    - `path` is what the request line has: path and query as written, at least "/" (RFC 9112, 3.2.1).
    - `literal` says that the host is an address and DNS is not asked.
    - `trusted` says that the origin is on the allow-list.
    - `confined` says that the URL is allowed only within allowed networks: each address dialled
      must lie in one of them (`addresses.judge_address`).
    """

    url: str
    scheme: str
    host: str
    port: int
    origin: str
    path: str
    literal: bool
    trusted: bool = False
    confined: bool = False


def parse_url(url: str) -> Target | Refused:
    """The parts of an absolute http or https URL, or why its writing is refused. Never raises.

    Reasons: "too-long", "bad-character", "scheme", "fragment", "credentials", "no-host",
    "bad-host", "numeric-host", "bad-port".
    """
    if len(url) > MAX_URL_LENGTH:
        return Refused("too-long", f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if not _VISIBLE_ASCII.fullmatch(url) or "\\" in url:
        return Refused(
            "bad-character",
            "A URL consists of visible ASCII characters, without spaces and backslashes; "
            "write an international name with its xn-- labels.",
        )
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        return Refused("scheme", "The URL must be absolute and begin with https:// or http://.")
    if "#" in rest:
        return Refused("fragment", "The URL has a fragment, which is never sent.")
    authority = rest[: _AUTHORITY.match(rest).end()]  # type: ignore[union-attr]  # it matches ""
    path = rest[len(authority) :]
    if "@" in authority:  # RFC 9110, 4.2.4
        return Refused("credentials", "The URL has a user name or a password before its host.")
    host_text, port_text = _split_authority(authority)
    if not host_text:
        return Refused("no-host", "The URL has no host.")
    if (port := _parse_port(port_text, DEFAULT_PORTS[scheme])) is None:
        return Refused("bad-port", f"The port must be a number from 1 to {MAX_PORT}.")
    host = _parse_host(host_text.lower())
    if isinstance(host, Refused):
        return host
    shown_host = f"[{host}]" if isinstance(host, IPv6Address) else str(host)
    origin = f"{scheme}://{shown_host}"
    if port != DEFAULT_PORTS[scheme]:
        origin += f":{port}"
    return Target(
        url=url,
        scheme=scheme,
        host=str(host),
        port=port,
        origin=origin,
        path=path if path.startswith("/") else f"/{path}",
        literal=not isinstance(host, str),
    )


def _split_authority(authority: str) -> tuple[str, str]:
    """Host and port as written; a host keeps its brackets, a port loses its colon."""
    if authority.startswith("["):
        host, bracket, port = authority.partition("]")
        if bracket and (not port or port.startswith(":")):
            return host + bracket, port[1:]
        return authority, ""
    host, _, port = authority.partition(":")
    return host, port


def _parse_port(text: str, default: int) -> int | None:
    """An empty port is the scheme's, leading zeros don't count (RFC 3986, 3.2.3)."""
    if not text:
        return default
    if not (match := _PORT.fullmatch(text)):
        return None
    port = int(match[1])
    return port if 1 <= port <= MAX_PORT else None


def _parse_host(text: str) -> str | IPv4Address | IPv6Address | Refused:
    """A host in lower case, if nothing would change it when it is normalised."""
    if text.startswith("["):
        return _parse_ipv6(text)
    name = text.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(text)  # four decimal numbers without leading zeros, nothing else
        except ValueError:
            return Refused(
                "numeric-host",
                "The host is written as a number; write an IPv4 address as four decimal numbers "
                "with dots.",
            )
    if len(name) > _MAX_NAME_LENGTH or not all(_is_label(label) for label in labels):
        return Refused(
            "bad-host",
            "The host is neither a name (letters, digits, hyphens and dots; no percent signs) "
            "nor an address.",
        )
    return text


def _parse_ipv6(text: str) -> IPv6Address | Refused:
    try:
        address = IPv6Address(text[1:-1] if text.endswith("]") else text)
    except ValueError:
        return Refused("bad-host", "The host is not an IPv6 address in brackets.")
    if address.scope_id is not None:
        return Refused("bad-host", "The host has a zone, which a URL can't have.")
    canonical = _canonical_ipv6(address)
    if text not in {f"[{form}]" for form in canonical}:
        return Refused("bad-host", f"Write the host in its shortest form: [{canonical[0]}].")
    return address


def _canonical_ipv6(address: IPv6Address) -> tuple[str, ...]:
    """As RFC 5952 and WHATWG URL write it; they differ for IPv4-mapped addresses."""
    if (value := int(address)) >> 32 != _MAPPED_HIGH_BITS:
        return (str(address),)
    ipv4 = value & 0xFFFF_FFFF
    return f"::ffff:{IPv4Address(ipv4)}", f"::ffff:{ipv4 >> 16:x}:{ipv4 & 0xFFFF:x}"


def _is_label(label: str) -> bool:
    if not _LABEL.fullmatch(label):
        return False
    return not label.startswith("xn--") or _is_stable_a_label(label)


def _is_stable_a_label(label: str) -> bool:
    """Whether an A-label (RFC 5890, 2.3.2.1) stays the same through decoding and encoding."""
    try:
        unicode_label = label.removeprefix("xn--").encode("ascii").decode("punycode")
        encoded_again = unicode_label.encode("punycode").decode("ascii")
    except ValueError:  # UnicodeError is one too
        return False
    normal = unicodedata.normalize("NFKC", unicode_label).lower()
    return (
        not unicode_label.isascii()
        and normal == unicode_label
        and f"xn--{encoded_again}" == label
    )
