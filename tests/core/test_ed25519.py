"""The service's own key: the known answers, and every form that is none."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.ed25519 import (
    PrivateKey,
    PublicKey,
    parse_private_key,
    parse_public_key,
)

# svix-server src/worker.rs test_asymmetric_key_signing; the public key from its
# tests/it/e2e_endpoint.rs test_custom_endpoint_secret
PRIVATE = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- Text --------------------------------------------------------------------------------------


def test_the_known_pair() -> None:
    key = parse_private_key(PRIVATE)
    assert key.public.text == PUBLIC
    assert key.reveal() == PRIVATE
    assert parse_public_key(PUBLIC).raw == key.public.raw
    content = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    signature = key.sign(content)
    assert b64encode(signature).decode() == (
        "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    )
    assert parse_public_key(PUBLIC).verifies(signature, content)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin with"),
        ("whsk_", "64 bytes"),
        (PRIVATE.removeprefix("whsk_"), "begin with"),
        (PUBLIC, "begin with"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with"),
        # svix-server types/mod.rs
        (PRIVATE[:-3], "base64"),
        (
            (
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlaaaaaaaaaaAJ6p9lMic"
                "MFs6Kvg=="
            ),
            "belong together",
        ),
        (PRIVATE + "\n", "base64"),
        (PRIVATE.replace("/", "_"), "base64"),
        (PRIVATE.replace("vg==", "vh=="), "base64"),  # the same bytes in a second spelling
        ("whsk_" + b64encode(bytes(32)).decode(), "64 bytes"),  # the seed alone
        ("whsk_" + b64encode(bytes(96)).decode(), "64 bytes"),
        ("whsk_\u00e9", "base64"),
    ],
)
def test_what_is_no_private_key_is_refused_and_not_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_private_key(text)
    assert caught.value.__cause__ is None
    assert len(text) < 10 or text[5:] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whpk_",
        PRIVATE,
        PUBLIC.removeprefix("whpk_"),
        PUBLIC.rstrip("="),
        PUBLIC.replace("ir4=", "ir5="),
        PUBLIC + " ",
        "whpk_" + b64encode(bytes(31)).decode(),
        "whpk_" + b64encode(bytes(33)).decode(),
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"whpk_|32 bytes"):
        parse_public_key(text)


@given(st.text() | st.text().map("whsk_{}".format) | st.text().map("whpk_{}".format))
def test_any_text_is_a_value_error_at_worst(text: str) -> None:
    for parse in (parse_private_key, parse_public_key):
        with pytest.raises(ValueError, match="key"):
            parse(text)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_keys_round_trip_and_sign(seed: bytes, content: bytes) -> None:
    key = PrivateKey(seed)
    again = parse_private_key(key.reveal())
    signature = key.sign(content)
    assert again.sign(content) == signature
    assert parse_public_key(key.public.text).verifies(signature, content)
    assert not key.public.verifies(signature, content + b"x")
    assert not key.public.verifies(signature[:-1], content)
    other = PrivateKey(seed[1:] + bytes([seed[0] ^ 1]))
    assert not other.public.verifies(signature, content)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PrivateKey(raw)
    with pytest.raises(ValueError, match="32 bytes"):
        PublicKey(raw)


def test_a_private_key_does_not_show_itself() -> None:
    assert repr(PrivateKey(bytes(32))) == "PrivateKey(***)"


# --- JSON Web Keys -----------------------------------------------------------------------------


def test_the_key_of_rfc_8037() -> None:
    # RFC 8037, A.1 to A.3: the private key, the public key, and its thumbprint (RFC 7638)
    key = PrivateKey(unpadded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")).public
    assert key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.jwk() == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "use": "sig",
        "alg": "Ed25519",
        "whpk": key.text,
    }
    # RFC 8037, A.4: a JWS over it
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = unpadded(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    assert key.verifies(signature, signed)


@given(st.binary(min_size=32, max_size=32))
def test_a_jwk_is_the_public_key_and_nothing_private(seed: bytes) -> None:
    key = PrivateKey(seed)
    shown = json.loads(json.dumps(key.public.jwk()))
    assert "d" not in shown  # RFC 8037, 2
    assert "=" not in shown["x"] + shown["kid"]
    assert unpadded(shown["x"]) == key.public.raw
    assert parse_public_key(shown["whpk"]).raw == key.public.raw
