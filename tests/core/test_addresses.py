"""Where callbacks may go: public cases, registries, and properties over any address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.core.addresses import (
    Policy,
    Refused,
    Target,
    judge_address,
    judge_addresses,
    judge_url,
)
from dispatcher.core.errors import SettingsError
from dispatcher.core.urls import parse_url
from tests.core.address_cases import (
    ADDRESSES,
    BAD_HIGH_PORTS,
    BLOCKS,
    IPV4_REGISTRY,
    IPV6_REGISTRY,
    REDIRECTS,
    URLS,
)

DEFAULT = Policy()
DEV = Policy(dev=True)
NETWORK = Policy.parse(["10.0.0.0/8"])
POLICIES = [
    DEFAULT,
    DEV,
    NETWORK,
    Policy.parse(["http://receiver:9000", "127.0.0.0/8", "::1", "https://[::1]:22"]),
]


def target_of(url: str, policy: Policy) -> Target:
    verdict = judge_url(url, policy)
    assert isinstance(verdict, Target), verdict
    return verdict


def reason_of(url: str, policy: Policy = DEFAULT) -> str | None:
    verdict = judge_url(url, policy)
    return verdict.reason if isinstance(verdict, Refused) else None


def goes_through(url: str, addresses: list[str], policy: Policy) -> bool:
    """Both verdicts, as the service asks for them: at submission, then before the connect."""
    target = judge_url(url, policy)
    if isinstance(target, Refused):
        return False
    dialled = [target.host] if target.literal else addresses
    return judge_addresses(dialled, policy, target) is None


# --- Public cases ------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "allowed", "source"), ADDRESSES)
def test_public_cases_of_addresses_are_judged_as_expected(
    address: str, allowed: bool, source: str
) -> None:
    assert (judge_address(address, DEFAULT) is None) == allowed, source


@pytest.mark.parametrize(("url", "addresses", "allowed", "source"), URLS)
def test_public_cases_of_urls_are_judged_as_expected(
    url: str, addresses: list[str], allowed: bool, source: str
) -> None:
    # Those with http are not refused for their scheme alone.
    for each in (url, url.replace("http://", "https://")):
        assert goes_through(each, addresses, DEFAULT) == allowed, source
        assert allowed or addresses or isinstance(judge_url(each, DEFAULT), Refused), source


@pytest.mark.parametrize("location", REDIRECTS)
def test_public_cases_of_redirects_are_refused(location: str) -> None:
    assert isinstance(judge_url(location, DEFAULT), Refused)


@pytest.mark.parametrize(("network", "reachable"), [*IPV4_REGISTRY, *IPV6_REGISTRY])
def test_the_blocks_of_the_registries_are_judged_by_their_reach(
    network: str, reachable: bool
) -> None:
    block = ip_network(network)
    for address in (block[0], block[-1], block[block.num_addresses // 2]):
        assert (judge_address(address, DEFAULT) is None) == reachable, address


@pytest.mark.parametrize("port", [*BAD_HIGH_PORTS, 1, 22, 80, 442, 444, 1023])
def test_bad_ports_are_refused_in_dev_too(port: int) -> None:
    assert reason_of(f"https://example.com:{port}/") == "port"
    assert reason_of(f"https://example.com:{port}/", DEV) == "port"


@pytest.mark.parametrize("port", [443, 1024, 8080, 8443, 65535])
def test_443_and_ports_above_1023_are_allowed(port: int) -> None:
    assert reason_of(f"https://example.com:{port}/") is None


@pytest.mark.parametrize(("address", "reason", "inner"), BLOCKS)
def test_each_block_has_its_reason_and_an_allowed_name_leads_only_to_inner_ones(
    address: str, reason: str, inner: bool
) -> None:
    refused = judge_address(address, DEFAULT)
    assert refused is not None
    assert refused.reason == reason
    assert ("--dev" in refused.detail) == (reason == "loopback")
    policy = Policy.parse(["http://receiver:9000"])
    target = target_of("http://receiver:9000/", policy)
    assert (judge_address(address, policy, target) is None) == inner


# --- What an operator allows -------------------------------------------------------------------


def test_a_refusal_names_the_setting_that_would_allow_it() -> None:
    for url, setting in [
        ("http://receiver:9000/x", "--allow-callbacks http://receiver:9000 or --dev"),
        ("https://example.com:22/x", "--allow-callbacks https://example.com:22"),
        ("https://10.1.2.3/", "--allow-callbacks 10.1.2.3"),
        ("https://[::1]/", "--allow-callbacks ::1 or --dev"),
        ("https://localhost/", "--allow-callbacks https://localhost or --dev"),
    ]:
        verdict = judge_url(url, DEFAULT)
        assert isinstance(verdict, Refused)
        assert f"by {setting}." in verdict.detail
        entry = setting.split()[1]
        assert isinstance(judge_url(url, Policy.parse([entry])), Target)


def test_an_allowed_origin_may_lead_inside_but_not_anywhere() -> None:
    policy = Policy.parse(["http://receiver:9000"])
    target = target_of("http://RECEIVER:9000/hook", policy)
    assert target.trusted
    for inside in ("172.18.0.3", "127.0.0.1", "fd00::3", "198.19.0.7", "93.184.215.14"):
        assert judge_address(inside, policy, target) is None
    for url in ("http://receiver:9001/", "https://receiver:9000/", "http://x.receiver:9000/"):
        assert not goes_through(url, ["172.18.0.3"], policy)
    assert judge_address("172.18.0.3", policy) is not None


def test_an_allowed_literal_leads_to_just_that() -> None:
    policy = Policy.parse(["http://169.254.7.7:9000"])
    target = target_of("http://169.254.7.7:9000/hook", policy)
    assert judge_address("169.254.7.7", policy, target) is None
    assert judge_address("169.254.7.8", policy, target) is not None
    assert reason_of("http://169.254.7.7:9001/", policy) == "link-local"


def test_a_literal_that_is_not_allowed_leads_nowhere() -> None:
    target = parse_url("https://10.0.0.1/")
    assert isinstance(target, Target)
    assert judge_address("10.0.0.1", DEFAULT, target) is not None


def test_an_allowed_network_has_both_schemes_and_any_port() -> None:
    assert goes_through("http://10.1.2.3:22/", [], NETWORK)
    assert goes_through("https://10.1.2.3/", [], NETWORK)
    assert goes_through("http://[::ffff:10.1.2.3]/", [], NETWORK)
    assert not goes_through("http://11.1.2.3/", [], NETWORK)
    assert not goes_through("https://[::10.1.2.3]/", [], NETWORK)
    # A name may lead there too; whether it does is known at the connect.
    target = target_of("http://redis:6000/", NETWORK)
    assert target.confined
    assert judge_addresses(["10.0.0.7"], NETWORK, target) is None
    refused = judge_addresses(["10.0.0.7", "93.184.215.14"], NETWORK, target)
    assert refused is not None
    assert refused.reason == "not-allowed"
    # What is allowed everywhere stays so.
    assert goes_through("https://example.com/", ["93.184.215.14"], NETWORK)
    assert not goes_through("https://example.com/", ["192.168.0.1"], NETWORK)
    assert reason_of("http://localhost:9000/", NETWORK) == "local-name"


def test_dev_takes_nothing_from_what_is_allowed() -> None:
    policy = Policy.parse(["10.0.0.0/8"], dev=True)
    for url in ("http://10.1.2.3:22/", "http://127.0.0.1:22/"):
        assert goes_through(url, [], policy)


def test_a_network_of_mapped_addresses_holds_them() -> None:
    policy = Policy.parse(["::ffff:10.0.0.0/104"])
    assert goes_through("http://[::ffff:10.1.2.3]/", [], policy)
    assert not goes_through("http://10.1.2.3/", [], policy)


def test_allowed_loopback_admits_its_names() -> None:
    policy = Policy.parse(["127.0.0.0/8"])
    assert goes_through("http://localhost:9000/", ["127.0.0.1"], policy)
    assert not goes_through("http://localhost:9000/", ["::1", "127.0.0.1"], policy)
    assert not goes_through("https://localhost/", ["93.184.215.14"], policy)


@pytest.mark.parametrize(
    ("url", "addresses", "allowed"),
    [
        ("http://127.0.0.1:9000/", [], True),
        ("https://127.8.8.8:22/", [], True),
        ("http://[::1]:6000/", [], True),
        ("http://localhost/", ["::1", "127.0.0.1"], True),
        ("http://a.localhost:22/", ["127.0.0.1"], True),
        ("http://localhost/", ["93.184.215.14"], False),
        ("http://mymachine:9000/", ["127.0.1.1"], True),
        ("http://example.com/", ["93.184.215.14"], True),
        ("http://1.1.1.1:8080/", [], True),
        ("http://example.com:81/", ["93.184.215.14"], False),
        ("https://example.com:80/", ["93.184.215.14"], False),
        ("http://example.com:6000/", ["127.0.0.1"], False),
        ("http://example.com/", ["10.0.0.1"], False),
        ("http://10.0.0.1/", [], False),
        ("http://169.254.169.254/", [], False),
        ("http://0.0.0.0:9000/", [], False),
        ("http://127.1:9000/", [], False),
    ],
)
def test_dev_allows_http_and_loopback_and_nothing_else_inside(
    url: str, addresses: list[str], allowed: bool
) -> None:
    assert goes_through(url, addresses, DEV) == allowed


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        ([], "no-address"),  # smokescreen TestSelectTargetAddr
        (["receiver"], "bad-address"),
        (["8.8.8.8", ""], "bad-address"),
        (["2606:4700:4700::1111%eth0"], "zone"),
    ],
)
def test_what_is_no_address_is_no_permission(addresses: list[str], reason: str) -> None:
    for policy in POLICIES:
        refused = judge_addresses(addresses, policy)
        assert refused is not None
        assert refused.reason == reason


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("http://receiver:9000", "http://receiver:9000"),
        ("HTTPS://X.example:443/", "https://x.example"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_entries_that_are_origins(entry: str, origin: str) -> None:
    assert Policy.parse([entry]) == Policy(allow_origins=frozenset({origin}))


@pytest.mark.parametrize(
    ("entry", "network"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("fd00::/8", "fd00::/8"), ("::1", "::1/128"), ("1.2.3.4",) * 2],
)
def test_entries_that_are_networks(entry: str, network: str) -> None:
    assert Policy.parse([entry], dev=True) == Policy(
        allow_networks=(ip_network(network),), dev=True
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "neither an origin"),
        ("receiver:9000", "neither an origin"),
        ("10.0.0.0/33", "neither an origin"),
        ("10.1.2.3/8", r"write 10\.0\.0\.0/8"),
        ("fe80::1%eth0", "zone"),
        ("http://receiver:9000/hook", "write http://receiver:9000$"),
        ("http://receiver:9000//", "write http://receiver:9000$"),
        ("http://receiver?x", "write http://receiver$"),
        ("ftp://receiver", "begin with https"),
        ("http://127.1", "written as a number"),
        ("http://receiver:0", "port"),
    ],
)
def test_entries_that_are_neither(entry: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Policy.parse([entry])


def test_credentials_in_an_entry_are_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        Policy.parse(["http://user:hunter2@receiver"])
    assert "hunter2" not in str(caught.value)


# --- Properties --------------------------------------------------------------------------------

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)


def embeddings(inner: IPv4Address) -> list[IPv6Address]:
    value = int(inner)
    return [
        IPv6Address(0xFFFF << 32 | value),  # mapped
        IPv6Address(value),  # compatible
        IPv6Address(0xFFFF << 48 | value),  # SIIT
        IPv6Address(0x64FF9B << 96 | value),  # NAT64
        IPv6Address(0x64FF9B0001 << 80 | value),  # NAT64 of local use
        IPv6Address(0x2002 << 112 | value << 80 | 1),  # 6to4
        IPv6Address(0x20010000 << 96 | value ^ 0xFFFF_FFFF),  # Teredo
        IPv6Address(0x2606_4700 << 96 | 0x5EFE << 32 | value),  # ISATAP
        IPv6Address(0x2606_4700 << 96 | 0x0200_5EFE << 32 | value),
    ]


@given(ipv4)
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address("168.63.129.16"))
def test_a_refused_ipv4_address_is_refused_in_every_disguise(address: IPv4Address) -> None:
    if judge_address(address, DEFAULT) is None:
        return
    for disguise in embeddings(address):
        assert judge_address(disguise, DEFAULT) is not None, disguise
        assert judge_address(str(disguise), DEFAULT) is not None, disguise


@given(ipv4 | ipv6)
def test_an_address_and_its_text_get_the_same_verdict(address: IPv4Address | IPv6Address) -> None:
    for policy in POLICIES:
        assert judge_address(address, policy) == judge_address(str(address), policy)
    if isinstance(address, IPv6Address) and judge_address(address, DEFAULT) is None:
        assert address in ip_network("2000::/3") or address.ipv4_mapped is not None


@given(ipv4 | ipv6)
def test_a_private_address_by_anyones_account_is_refused(
    address: IPv4Address | IPv6Address,
) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        judged = judge_address(address, DEFAULT)
        assert judged is not None or getattr(address, "ipv4_mapped", None) is not None


@given(st.text(), st.sampled_from(POLICIES))
def test_any_text_for_an_address_gets_a_verdict(text: str, policy: Policy) -> None:
    judge_address(text, policy)
