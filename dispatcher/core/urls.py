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
_BAD_CHARACTER = (
    "A URL consists of visible ASCII characters, without spaces and backslashes; "
    "write an international name with its xn-- labels."
)
_END_OF_AUTHORITY = re.compile("[/?]")
_PORT = re.compile("0*([0-9]{1,5})")
_LABEL = re.compile("[a-z0-9_-]{1,63}")
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
    - `path` is what the request line has (RFC 9112, 3.2.1): path and query as written, at least
      "/".
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
        return Refused("bad-character", _BAD_CHARACTER if url else "The URL is empty.")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        return Refused("scheme", "The URL must be absolute and begin with https:// or http://.")
    if "#" in rest:
        return Refused("fragment", "The URL has a fragment, which is never sent.")
    authority = _END_OF_AUTHORITY.split(rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    if "@" in authority:  # RFC 9110, 4.2.4
        return Refused("credentials", "The URL has a user name or a password before its host.")
    host_text, port_text = _split_authority(authority)
    if not host_text:
        return Refused("no-host", "The URL has no host.")
    if (port := _parse_port(port_text, DEFAULT_PORTS[scheme])) is None:
        return Refused(
            "bad-port",
            f"The port must be a number from 1 to {MAX_PORT}; an IPv6 address needs brackets.",
        )
    host = _parse_host(host_text.lower())
    if isinstance(host, Refused):
        return host
    origin = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    if port != DEFAULT_PORTS[scheme]:
        origin += f":{port}"
    return Target(
        url=url,
        scheme=scheme,
        host=host,
        port=port,
        origin=origin,
        path=path if path.startswith("/") else f"/{path}",
        literal=":" in host or _ends_in_number(host),
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


def _parse_host(text: str) -> str | Refused:
    """A host in lower case, without brackets, if nothing would change it when it is normalised."""
    if text.startswith("["):
        return _parse_ipv6(text)
    if _ends_in_number(text):
        try:
            IPv4Address(text)  # four decimal numbers without leading zeros, nothing else
        except ValueError:
            return Refused(
                "numeric-host",
                "The host is written as a number; write an IPv4 address as four decimal numbers "
                "with dots.",
            )
        return text
    name = text.removesuffix(".")
    if len(name) > _MAX_NAME_LENGTH or not all(_is_label(label) for label in name.split(".")):
        return Refused(
            "bad-host",
            "The host is neither an address nor a name of letters, digits, hyphens and dots "
            "that stays the same when it is normalised.",
        )
    return text


def _ends_in_number(host: str) -> bool:
    """WHATWG URL, "ends in a number checker": such a host is an IPv4 address or no host at all."""
    return _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None


def _parse_ipv6(text: str) -> str | Refused:
    try:
        address = IPv6Address(text[1:-1] if text.endswith("]") else text)
    except ValueError:
        return Refused("bad-host", "The host is not an IPv6 address in brackets.")
    if address.scope_id is not None:
        return Refused("bad-host", "The host has a zone, which a URL can't have.")
    forms = _normal_forms(address)
    if text[1:-1] not in forms:
        return Refused("bad-host", f"Write the host in its shortest form: [{forms[0]}].")
    return forms[0]


def _normal_forms(address: IPv6Address) -> tuple[str, ...]:
    """As WHATWG URL and RFC 5952 (5) write it; they differ, as Pythons do, if it maps IPv4."""
    if (value := int(address)) >> 32 != _MAPPED_HIGH_BITS:
        return (str(address),)
    ipv4 = value & 0xFFFF_FFFF
    return f"::ffff:{ipv4 >> 16:x}:{ipv4 & 0xFFFF:x}", f"::ffff:{IPv4Address(ipv4)}"


def _is_label(label: str) -> bool:
    if not _LABEL.fullmatch(label):
        return False
    return not label.startswith("xn--") or _is_stable_a_label(label)


def _is_stable_a_label(label: str) -> bool:
    """Whether an A-label (RFC 5890, 2.3.2.1) stays the same through decoding and encoding."""
    try:
        decoded = label.removeprefix("xn--").encode("ascii").decode("punycode")
        encoded_again = decoded.encode("punycode").decode("ascii")
    except ValueError:  # UnicodeError is one too
        return False
    return (
        f"xn--{encoded_again}" == label
        and not decoded.isascii()
        and unicodedata.normalize("NFKC", decoded).lower() == decoded
        and not any(_separates_or_hides(character) for character in decoded)
    )


def _separates_or_hides(character: str) -> bool:
    """Spaces, controls and unassigned code points, and the full stop that IDNA takes for a dot.

    The joiners are controls that some scripts need (RFC 5892, appendix A.1 and A.2).
    """
    if character in "\u200c\u200d":
        return False
    return character == "\u3002" or unicodedata.category(character)[0] in "CZ"
