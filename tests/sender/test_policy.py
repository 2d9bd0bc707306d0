"""Promise 6: no callback reaches where it must not. Each test has a server that would hear of it.

The verdicts themselves are tried in `tests/core/test_addresses.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.sender import dial, routes
from dispatcher.adapters.sender.narrow import sending as narrow_sending
from dispatcher.adapters.sender.over_aiohttp import sending
from dispatcher.core.addresses import Policy, Refused, Target, judge_url
from dispatcher.core.outcome import Answered, NotAllowed, NotSent
from dispatcher.core.urls import parse_url
from dispatcher.testing.receiver import Raw, Receiver
from tests.sender.conftest import DEV, AnySender, MakeSender, Names, callout
from tests.sender.test_pool import heard_of_it

PUBLIC_ONLY = Policy()


async def heard_nothing(receiver: Receiver, make_sender: MakeSender) -> None:
    """Show that nobody has connected: the next to do so is the first."""
    assert isinstance(await make_sender().send(callout(receiver.url)), Answered)
    await receiver.connected(1)
    assert receiver.connection_count == 1


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "①②⑦.⓪.⓪.①",  # digits that NFKC makes plain ones
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com",
    "user:secret@127.0.0.1",
    "example.com@127.0.0.1",
    "127.0.0.1\\@example.com",
    "127.0.0.1\r\n",
    "127.0.\t0.1",
    " 127.0.0.1",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_no_spelling_of_loopback_is_dialled(
    make_sender: MakeSender, host: str, scheme: str
) -> None:
    async with Receiver() as receiver:
        result = await make_sender(PUBLIC_ONLY).send(
            callout(f"{scheme}://{host}:{receiver.port}/hook")
        )
        assert isinstance(result, NotAllowed)
        assert result.reason
        assert len(result.detail) > 10
        await heard_nothing(receiver, make_sender)


LITERALS = ["127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]


@pytest.mark.parametrize("host", LITERALS)
async def test_literals_are_judged_again_at_connect(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """aiohttp asks its resolver nothing for them: here nothing else has refused them before."""

    def pass_everything(url: str, _: Policy) -> Target | Refused:
        return parse_url(url)

    monkeypatch.setattr(routes, "judge_url", pass_everything)
    async with Receiver() as receiver:
        sender = make_sender(PUBLIC_ONLY)
        result = await sender.send(callout(f"http://{host}:{receiver.port}/hook"))
        assert isinstance(result, NotAllowed)
        monkeypatch.undo()
        await heard_nothing(receiver, make_sender)


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::ffff:127.0.0.1",),
        ("127.0.0.1%lo",),
        ("127.0.0.2", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.2",) * 30 + ("127.0.0.1",),
        ("127.0.0.2", "169.254.169.254"),
        ("127.0.0.2", "not an address"),
    ],
)
async def test_a_name_is_refused_if_any_of_its_addresses_is(
    make_sender: MakeSender, addresses: tuple[str, ...]
) -> None:
    policy = Policy.parse(["127.0.0.2"])
    async with Receiver() as receiver, Receiver(host="127.0.0.2", port=receiver.port) as other:
        sender = make_sender(policy, resolver=Names(receiver_test=[addresses]))
        result = await sender.send(callout(f"http://receiver.test:{receiver.port}/hook"))
        assert isinstance(result, NotAllowed), result
        await heard_nothing(receiver, make_sender)
        await heard_nothing(other, make_sender)


async def test_a_name_that_changes_its_address_gains_nothing(make_sender: MakeSender) -> None:
    """DNS rebinding: good when it is submitted and at the first attempt, bad at the second."""
    policy = Policy.parse(["127.0.0.2"])
    async with Receiver() as secret, Receiver(host="127.0.0.2", port=secret.port) as good:
        good.answer_with(Raw(b"HTTP/1.1 500 Again\r\ncontent-length: 0\r\n\r\n"))
        names = Names(rebind_test=[("127.0.0.2",), ("127.0.0.1",)])
        sender = make_sender(policy, resolver=names)
        url = callout(f"http://rebind.test:{secret.port}/hook")
        assert isinstance(judge_url(url.url, policy), Target)
        first = await sender.send(url)
        await good.left(1)
        await heard_of_it()
        second = await sender.send(url)
        assert isinstance(first, Answered)
        assert isinstance(second, NotAllowed)
        assert second.reason == "not-allowed"
        await heard_nothing(secret, make_sender)


async def test_the_address_dialled_is_judged_whatever_was_resolved(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between check and dial: the answer passes, and is another one when the socket is made."""
    monkeypatch.setattr(dial, "judge_addresses", lambda *_: None)
    policy = Policy.parse(["127.0.0.2"])
    async with Receiver() as receiver:
        for addresses in [("127.0.0.1",), ("127.0.0.3", "127.0.0.1"), ("::ffff:127.0.0.1",)]:
            sender = make_sender(policy, resolver=Names(receiver_test=[addresses]))
            result = await sender.send(callout(f"http://receiver.test:{receiver.port}/hook"))
            assert isinstance(result, NotAllowed)
            assert result.reason == "not-allowed"
        await heard_nothing(receiver, make_sender)


async def test_a_trusted_origin_is_reached_and_nothing_beside_it(make_sender: MakeSender) -> None:
    async with Receiver() as receiver, Receiver() as other:
        sender = make_sender(Policy.parse([receiver.origin]))
        assert isinstance(await sender.send(callout(receiver.url)), Answered)
        assert isinstance(await sender.send(callout(other.url)), NotAllowed)
        assert other.connection_count == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(make_sender: MakeSender, status: int) -> None:
    async with Receiver() as secret:
        head = f"HTTP/1.1 {status} Go\r\nlocation: {secret.url}\r\ncontent-length: 0\r\n\r\n"
        async with Receiver(Raw(head.encode())) as receiver:
            result = await make_sender().send(callout(receiver.url))
        assert isinstance(result, Answered)
        assert result.status_code == status
        assert secret.connection_count == 0


async def test_a_name_without_an_address_is_tried_again_later(make_sender: MakeSender) -> None:
    result = await make_sender(resolver=Names()).send(callout("https://nowhere.test/hook"))
    assert result == NotSent(
        code="dns",
        detail="no address of nowhere.test was found: Name or service not known",
        duration_ms=0,
    )


async def test_a_verdict_is_that_of_the_policy_not_of_an_earlier_sender(
    make_sender: MakeSender,
) -> None:
    async with Receiver() as receiver:
        strict, lenient = make_sender(PUBLIC_ONLY), make_sender(DEV)
        for _ in range(2):
            assert isinstance(await strict.send(callout(receiver.url)), NotAllowed)
            assert isinstance(await lenient.send(callout(receiver.url)), Answered)


URLS = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTPS"]),
        st.sampled_from(
            ["a.example", "A.example.", "1.1.1.1", "[2606:4700::1]", "xn--bcher-kva.de"]
        ),
        st.sampled_from(["", ":", ":443", ":8080", ":08443"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map(
            lambda text: f"/{text}"
        ),
    ),
)


@given(URLS)
def test_what_is_dialled_is_what_was_checked(url: str) -> None:
    target = parse_url(url)
    if isinstance(target, Refused):
        return
    route = sending._route_to(target)
    assert not isinstance(route, Refused), "a URL that passes the policy can be dialled"
    assert route.url.scheme == target.scheme
    assert route.url.raw_host == target.host
    assert route.url.port == target.port
    assert route.url.raw_path_qs == target.path
    assert (route.url.user, route.url.password, route.url.fragment) == (None, None, "")
    own = narrow_sending._route_to(target)
    host = target.origin.partition("://")[2]
    assert own.beginning == f"POST {target.path} HTTP/1.1\r\nHost: {host}\r\n"
    assert own.beginning.isascii()
    assert own.beginning.count("\n") == 2


async def test_the_routes_that_are_remembered_are_bounded(sender: AnySender) -> None:
    for number in range(routes.KEPT_ROUTES + 10):
        await sender.send(callout(f"ftp://example.com/{number}"))
    assert len(sender._routes) == routes.KEPT_ROUTES
