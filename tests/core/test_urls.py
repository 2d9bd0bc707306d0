"""How a callback URL must be written, and that other parsers read what passes as we do."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from dispatcher.core.addresses import Policy, judge_url
from dispatcher.core.urls import Refused, Target, parse_url

LONGEST_NAME = ("a" * 63 + ".") * 3 + "a" * 61
"""253 characters (RFC 1035, 2.3.4)."""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "bad-character"),
        ("https://example.com/" + "a" * 2_029, "too-long"),
        ("https://example.com/a b", "bad-character"),
        ("https://example.com/\x7f", "bad-character"),
        ("https://example.com/a\\b", "bad-character"),
        ("https://example.com/\r\nHost:x", "bad-character"),
        ("https://b\u00fccher.example/", "bad-character"),
        ("https://example.com/\u00fc", "bad-character"),
        ("https", "scheme"),
        ("https:example.com", "scheme"),
        ("https:/example.com", "scheme"),
        ("wss://example.com", "scheme"),
        ("https://example.com/#", "fragment"),
        ("https://example.com#x@y", "fragment"),
        ("https://:@example.com/", "credentials"),
        ("https:///hook", "no-host"),
        ("https://:443/", "no-host"),
        ("https://?x", "no-host"),
        ("https://example..com/", "bad-host"),
        ("https://example.com../", "bad-host"),
        ("https://./", "bad-host"),
        ("https://exa%6dple.com/", "bad-host"),
        ("https://exam*ple.com/", "bad-host"),
        ("https://" + "a" * 64 + ".com/", "bad-host"),
        ("https://" + "a." * 127 + "com/", "bad-host"),
        (f"https://{LONGEST_NAME}a/", "bad-host"),
        ("https://xn--a/", "bad-host"),  # decodes to a control character
        ("https://xn--localhost-/", "bad-host"),  # decodes to ASCII
        ("https://xn--/", "bad-host"),
        ("https://xn--99999999999.com/", "bad-host"),
        ("https://[::1/", "bad-host"),
        ("https://[::1]x/", "bad-host"),
        ("https://[]/", "bad-host"),
        ("https://[2606:4700:4700::1111%25eth0]/", "bad-host"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "bad-host"),  # changes when normalised
        ("https://[2606:4700:4700::01111]/", "bad-host"),
        ("https://127.0.0.01/", "numeric-host"),
        ("https://1.1.1/", "numeric-host"),
        ("https://0X7F.1/", "numeric-host"),
        ("https://0x7f000001/", "numeric-host"),
        ("https://017700000001/", "numeric-host"),
        ("https://8.8.8.8./", "numeric-host"),
        ("https://example.com:+443/", "bad-port"),
        ("https://example.com:4_43/", "bad-port"),
        ("https://example.com:000/", "bad-port"),
        ("https://example.com:65536/", "bad-port"),
        ("https://example.com:" + "9" * 1_900, "bad-port"),
        ("http://example.com/", "http"),
        ("http://1.1.1.1/", "http"),
        ("https://10.0.0.1/", "private"),
        ("http://127.0.0.1:9000/", "loopback"),
        ("https://a.LocalHost/", "local-name"),
        ("https://localhost.localdomain/", "local-name"),
        ("https://ip6-localhost/", "local-name"),
        ("https://ip6-loopback./", "local-name"),
    ],
)
def test_a_refused_url_is_told_the_reason(url: str, reason: str) -> None:
    verdict = judge_url(url, Policy())
    assert isinstance(verdict, Refused)
    assert verdict.reason == reason


def test_an_empty_one_is_told_as_what_it_is() -> None:
    assert parse_url("") == Refused("bad-character", "The URL is empty.")


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("HTTPS://Example.COM", "https://example.com", "/"),
        ("https://example.com:0443?a=b", "https://example.com", "/?a=b"),
        ("https://example.com:8443/%2e%2e/x?//@:", "https://example.com:8443", "/%2e%2e/x?//@:"),
        ("https://example.com./", "https://example.com.", "/"),
        ("https://my_service.example/", "https://my_service.example", "/"),
        ("https://1.1.1.1:8443/", "https://1.1.1.1:8443", "/"),
        ("https://[2606:4700:4700::ABCD]/", "https://[2606:4700:4700::abcd]", "/"),
        ("https://[::ffff:8.8.8.8]/", "https://[::ffff:808:808]", "/"),
        ("https://[::ffff:808:808]/", "https://[::ffff:808:808]", "/"),
        ("https://xn--strae-oqa.de/", "https://xn--strae-oqa.de", "/"),
        (f"https://{LONGEST_NAME}./", f"https://{LONGEST_NAME}.", "/"),
        ("https://example.com/" + "a" * 2_028, "https://example.com", "/" + "a" * 2_028),
    ],
)
def test_a_good_url_is_taken_apart_and_kept_as_written(url: str, origin: str, path: str) -> None:
    target = judge_url(url, Policy())
    assert isinstance(target, Target), target
    assert (target.url, target.origin, target.path) == (url, origin, path)
    assert target.literal == ("1.1.1.1" in url or "[" in url)
    assert not target.trusted
    assert not target.confined


def a_label(text: str) -> str:
    return f"xn--{text.encode('punycode').decode()}"


@pytest.mark.parametrize(
    ("label", "good"),
    [
        (a_label("\u00fcber"), True),
        (
            a_label("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc"),
            True,
        ),  # with a joiner that it needs
        (a_label("\u0915\u094d\u200d\u0937"), True),
        (a_label("\u00dcber"), False),  # would become small
        (a_label("\uff11\uff12"), False),  # would become digits
        (a_label("\ufb01n"), False),  # would become two letters
        (a_label("exa\u200bmple"), False),  # can't be seen
        (a_label("exa\u00admple"), False),
        (a_label("a\u1680b"), False),  # a space
        (a_label("a\u3002b"), False),  # a dot to IDNA
        (a_label("\u0378x"), False),  # no character yet
        ("xn---9ca", False),  # a second spelling of xn--9ca
    ],
)
def test_labels_in_punycode_must_stay_the_same(label: str, good: bool) -> None:
    assert isinstance(parse_url(f"https://{label}.example/"), Target) == good


fragments = st.sampled_from(
    [
        *("https://", "http://", "HTTP:", "//", "/", "?", "#", "@", ":", "[", "]", "%", ".", ".."),
        *("\\", "\t", "127.0.0.1", "0x7f", "8.8.8.8", "::1", "::ffff:", "443", "0443", "8443"),
        *("example.com", "xn--", "e1afmkfd", "localhost", "receiver", "9000", "-", "_", "a", "Z"),
        *("\u3002", "\uff11", "\u00df"),
    ]
)
texts = st.text() | st.lists(fragments, max_size=9).map("".join)
a_labels = (
    st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), min_size=1, max_size=8)
    .map(lambda text: f"xn--{text.encode('punycode').decode()}.example/")
    .filter(str.isascii)
)
urls = texts | (texts | a_labels).map(lambda text: f"https://{text}")


@given(urls, st.booleans())
@example("https://[::ffff:8.8.8.8]:443?x", False)
@example("https://[2606:4700:4700::ABCD]:0443/[x]@y", False)
def test_what_passes_is_read_alike_by_other_parsers(url: str, dev: bool) -> None:
    judge_url(url, Policy(dev=dev))  # never raises
    target = parse_url(url)
    if isinstance(target, Refused):
        return
    split = urlsplit(target.url)
    raw, normalised = URL(target.url, encoded=True), URL(target.url)
    assert target.url == url
    for host in (split.hostname, raw.raw_host, normalised.raw_host):
        assert host is not None
        if target.literal:
            assert ip_address(host) == ip_address(target.host)
        else:
            assert host.lower() == target.host
    assert target.port == raw.port == normalised.port
    assert split.port in {None, target.port}
    assert target.scheme == split.scheme == raw.scheme == normalised.scheme
