"""Signatures: the known answers of Standard Webhooks, and a verifier that we did not write."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.ed25519 import PrivateKey, parse_private_key, parse_public_key
from dispatcher.core.signature import (
    VerificationError,
    format_secret,
    parse_secret,
    sign,
    signed_content,
    verify,
)

# standard-webhooks python test_sign_function, go TestWebhookSign, svix-server worker.rs
# test_generate_msg_headers_with_signing_key
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = parse_secret(SECRET)
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = TIMESTAMP * 1000

WRONG = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

keys = st.binary(min_size=24, max_size=64)
ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=40)


def headers(**changes: str | None) -> dict[str, str]:
    """Those of the known answer; `id=None` leaves the `webhook-id` out."""
    all_of_them = {"id": ID, "timestamp": str(TIMESTAMP), "signature": SIGNATURE, **changes}
    return {f"webhook-{name}": value for name, value in all_of_them.items() if value is not None}


def reason(given_headers: dict[str, str], now: int = NOW, body: bytes = BODY) -> str:
    with pytest.raises(VerificationError) as caught:
        verify([KEY], given_headers, body, now=now)
    return caught.value.reason


# --- Secrets -----------------------------------------------------------------------------------

SVIX = "svix-server types/mod.rs"


@pytest.mark.parametrize(
    ("secret", "length"),
    [
        (SECRET, 24),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 24),  # the prefix is optional in every library
        (
            (
                "whsec_TUdfVE5UMnZlci1TeWxOYXQtX1ZlTW1kLTRtMFdhYmEwanIxdHJvenRCbmlTQ2hFdzBnbHhFbWdF"
                "aTJLdzQwSA=="
            ),
            64,
        ),
        ("whsec_ZGlzcGF0Y2hlci1kZXZlbG9wbWVudC1zZWNyZXQtMDE=", 32),  # that of --dev
    ],
)
def test_good_secrets_are_parsed_and_written_again(secret: str, length: int) -> None:
    raw = parse_secret(secret)
    assert len(raw) == length
    assert format_secret(raw).removeprefix("whsec_") == secret.removeprefix("whsec_")


@pytest.mark.parametrize(
    ("secret", "source"),
    [
        ("", SVIX),
        ("whsec_", SVIX),
        ("w", SVIX),
        ("whsec_%", SVIX),
        ("whsec_wronglength", SVIX),
        ("hwsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SVIX),
        ("whsec_bm90LXZhbGlkCg==", "10 bytes"),
        (
            (
                "whsec_V09IYXZUaFJoSnFobnpJQkpPMXdpdGFNWnJsRzAxdXZCeTVndVpwRmxSSXFsc0oyYzBTRWRUekJhYnl"
                "aZ0JSRGNPQ3BGZG1xYjFVVmRGQ3UK"
            ),
            "81 bytes",
        ),
        ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", SVIX),
        (
            (
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMic"
                "MFs6Kvg=="
            ),
            "an Ed25519 key signs v1a, never v1",
        ),
        # Python adds the padding, Go and Rust refuse it: so do we.
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "unpadded"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr", "unpadded"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr==", "bits behind the last byte"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La LaSw", "outside the alphabet"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "outside the alphabet"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "the URL alphabet"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS\uff37", "not ASCII"),
        ("whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the prefix twice"),
    ],
)
def test_bad_secrets_are_refused_without_being_told(secret: str, source: str) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        parse_secret(secret)
    payload = secret.removeprefix("whsec_")
    assert caught.value.__cause__ is None
    assert len(payload) < 6 or payload not in str(caught.value), source


@given(st.binary(max_size=80))
def test_secrets_round_trip_within_their_lengths(raw: bytes) -> None:
    if 24 <= len(raw) <= 64:
        assert parse_secret(format_secret(raw)) == raw
    else:
        with pytest.raises(ValueError, match="24 to 64 bytes"):
            format_secret(raw)
        with pytest.raises(ValueError, match="secret"):
            parse_secret("whsec_" + b64encode(raw).decode())


@given(st.text())
def test_a_secret_of_any_text_is_a_value_error_at_worst(text: str) -> None:
    try:
        raw = parse_secret(text)
    except ValueError:
        return
    assert format_secret(raw).removeprefix("whsec_") == text.removeprefix("whsec_")


# --- Signing -----------------------------------------------------------------------------------


def test_signatures_are_those_of_the_public_libraries() -> None:
    assert sign([KEY], ID, TIMESTAMP, BODY) == SIGNATURE
    # standard-webhooks rust test_sign, svix-webhooks rust test_sign
    other = parse_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    body = b'{"email":"test@example.com","username":"test_user"}'
    assert (
        sign([other], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, body)
        == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
    )
    assert sign([KEY, other], ID, TIMESTAMP, BODY).split(" ") == [
        SIGNATURE,
        sign([other], ID, TIMESTAMP, BODY),
    ]


def test_signed_content_is_id_timestamp_and_body() -> None:
    assert signed_content("evt_1", 7, b"\xff\x00") == b"evt_1.7.\xff\x00"


def test_a_full_stop_in_the_id_is_refused() -> None:
    # Standard Webhooks, "Signature scheme": the id must not include any full stop.
    with pytest.raises(ValueError, match="full stop"):
        sign([KEY], "evt.1", TIMESTAMP, BODY)
    assert reason(headers(id="evt.1")) == "bad-id"


def test_no_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="one secret"):
        sign([], ID, TIMESTAMP, BODY)


@given(
    st.lists(keys, min_size=1, max_size=4),
    ids,
    st.integers(0, 10**11),
    st.binary(max_size=200),
    st.data(),
)
def test_what_is_signed_verifies_and_no_more(
    secrets: list[bytes], id_: str, timestamp: int, body: bytes, data: st.DataObject
) -> None:
    signed = {
        "Webhook-Id": id_,
        "WEBHOOK-TIMESTAMP": str(timestamp),
        "webhook-signature": sign(secrets, id_, timestamp, body),
    }
    now = timestamp * 1000
    verify([data.draw(st.sampled_from(secrets))], signed, body, now=now)
    other = data.draw(keys.filter(lambda key: key not in secrets))
    for wrong_secrets, wrong_body in (([other], body), ([], body), (secrets, body + b" ")):
        with pytest.raises(VerificationError):
            verify(wrong_secrets, signed, wrong_body, now=now)


@given(keys, ids, st.text(max_size=100), st.lists(keys, max_size=2), st.integers(0, 2))
def test_the_public_library_verifies_what_we_sign(
    key: bytes, id_: str, text: str, older: list[bytes], own: int
) -> None:
    now = int(datetime.now(UTC).timestamp())
    body = text.encode()
    signed = {
        "webhook-id": id_,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([*older, key], id_, now, body, keys=[PRIVATE] * own),
    }
    library = standardwebhooks.Webhook(format_secret(key))
    library.verify(body, signed, json_parse=False)
    theirs = library.sign(id_, datetime.fromtimestamp(now, UTC), text)
    verify([key], {**signed, "webhook-signature": theirs}, body, now=now * 1000)


# --- Verifying ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_headers",
    [
        headers(),
        {name.upper(): value for name, value in headers().items()},
        headers(signature=f"{WRONG} v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ= {SIGNATURE} {WRONG}"),
        headers(signature=f"v1a,AAAA {SIGNATURE}"),
        headers(signature=f"  v1 v1, , ,, nonsense v1,\u2713 \udcff {SIGNATURE}  "),
        headers() | {"Webhook-Id": ID},  # twice the same says one thing
        headers() | {"X-Trace": "1", "x-trace": "2"},  # what is not signed may be there twice
    ],
)
def test_headers_with_one_good_signature_are_accepted(given_headers: dict[str, str]) -> None:
    verify([KEY], given_headers, BODY, now=NOW)


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        ({}, "missing-header"),
        (headers(id=None), "missing-header"),
        (headers(id=""), "missing-header"),
        (headers(timestamp=None), "missing-header"),
        (headers(signature=None), "missing-header"),
        (headers() | {"Webhook-Id": "evt_2"}, "repeated-header"),
        (headers(timestamp="hello"), "bad-timestamp"),
        (headers(timestamp="1614265330.0"), "bad-timestamp"),
        (headers(timestamp="+1614265330"), "bad-timestamp"),
        (headers(timestamp="1614265330\n"), "bad-timestamp"),
        (headers(timestamp="\uff11614265330"), "bad-timestamp"),
        (headers(timestamp="9" * 5_000), "bad-timestamp"),
        (headers(timestamp=str(NOW)), "bad-timestamp"),  # milliseconds
        (headers(timestamp="0"), "too-old"),
        (headers(timestamp="999999999999"), "too-new"),
        (headers(signature=SIGNATURE.replace("OE=", "OA=")), "bad-signature"),
        (headers(signature=SIGNATURE.rstrip("=")), "bad-signature"),
        (headers(signature="v1,"), "bad-signature"),
        (headers(signature="v1,dawfeoifkpqwoekfpqoekf"), "bad-signature"),
        (headers(signature=f"{WRONG} {WRONG} {WRONG}"), "bad-signature"),
        (headers(signature=SIGNATURE.replace("v1,", "v2,")), "bad-signature"),
        (headers(signature=SIGNATURE.replace("v1,", "v1a,")), "bad-signature"),
        (headers(id="evt_\udcff\ud800"), "bad-signature"),
        (headers(signature="v1,\u00e9\udcff\ud800"), "bad-signature"),
    ],
)
def test_refused_headers_are_told_the_reason(given_headers: dict[str, str], expected: str) -> None:
    assert reason(given_headers) == expected


def test_only_an_asymmetric_signature_is_not_enough() -> None:
    assert reason(headers(signature=V1A)) == "bad-signature"


# --- The service's own key ---------------------------------------------------------------------

# svix-server worker.rs test_asymmetric_key_signing, over the same message as the known answer of v1
PRIVATE = parse_private_key(
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC = parse_public_key("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
OTHER_PRIVATE = PrivateKey(bytes(32))


def test_the_known_answer_of_v1a_stands_behind_those_of_v1() -> None:
    assert sign([KEY], ID, TIMESTAMP, BODY, keys=[PRIVATE]) == f"{SIGNATURE} {V1A}"
    both = sign([KEY, b"k" * 24], ID, TIMESTAMP, BODY, keys=[OTHER_PRIVATE, PRIVATE])
    assert [element.split(",")[0] for element in both.split(" ")] == ["v1", "v1", "v1a", "v1a"]
    assert both.endswith(f" {V1A}")


@pytest.mark.parametrize(
    "signature", [V1A, f"{SIGNATURE} {V1A}", f"v1a,AAAA v1a,,\u00e9\ud800 v1a {WRONG}  {V1A} x"]
)
def test_v1a_alone_is_enough_for_who_asks_for_it(signature: str) -> None:
    verify([], headers(signature=signature), BODY, now=NOW, public_keys=[PUBLIC])
    others = [OTHER_PRIVATE.public, PUBLIC]
    verify([], headers(signature=signature), BODY, now=NOW, public_keys=others)


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE,
        V1A.replace("v1a,", "v1,"),
        V1A.rstrip("="),
        V1A.replace("Ag==", "Ah=="),  # the same bytes in a second spelling
        V1A.replace("hnO3", "hnO4"),
        f"{V1A}\n",
        "v1a,",
        "v1a,AAAA",
        "v1a," + b64encode(bytes(64)).decode(),
    ],
)
def test_what_is_not_v1a_is_not_taken_for_it(signature: str) -> None:
    with pytest.raises(VerificationError) as caught:
        verify([], headers(signature=signature), BODY, now=NOW, public_keys=[PUBLIC])
    assert caught.value.reason == "bad-signature"


def test_who_asks_for_both_needs_both() -> None:
    both = headers(signature=f"{SIGNATURE} {V1A}")
    verify([KEY], both, BODY, now=NOW, public_keys=[PUBLIC])
    for signature in (SIGNATURE, V1A, f"{WRONG} {V1A}"):
        with pytest.raises(VerificationError):
            verify([KEY], headers(signature=signature), BODY, now=NOW, public_keys=[PUBLIC])
    with pytest.raises(VerificationError, match="v1a"):
        verify([KEY], both, BODY, now=NOW, public_keys=[OTHER_PRIVATE.public])


@given(st.text() | st.text("v1a,=A ").map("v1a,{}".format), st.binary(max_size=20))
def test_v1a_raises_nothing_but_a_verification_error(text: str, body: bytes) -> None:
    with pytest.raises(VerificationError):
        verify([], headers(signature=text), body, now=NOW, public_keys=[PUBLIC])


@pytest.mark.parametrize(
    ("offset_ms", "expected"),
    [(300_001, "too-old"), (-300_001, "too-new"), (300_000, None), (-300_000, None), (-1, None)],
)
def test_tolerance_in_both_directions(offset_ms: int, expected: str | None) -> None:
    now = NOW + offset_ms
    if expected is None:
        verify([KEY], headers(), BODY, now=now)
    else:
        assert reason(headers(), now=now) == expected
        verify([KEY], headers(), BODY, now=now, tolerance_seconds=301)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "Webhook-ID"]),
        st.text()
        | st.text("v1a,= ")
        | st.sampled_from([ID, str(TIMESTAMP)])
        | st.text(st.characters(categories=["Cs"])),
    ),
    st.binary(max_size=30),
    st.integers(),
    st.floats(allow_nan=False),
)
def test_nothing_but_a_verification_error(
    given_headers: dict[str, str], body: bytes, now: int, tolerance: float
) -> None:
    with pytest.raises(VerificationError):
        verify([KEY], given_headers, body, now=now, tolerance_seconds=tolerance)
