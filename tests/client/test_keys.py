"""The service's public keys, from its JWK set to a verified callback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatcher.client import Unreachable, verify
from dispatcher.client.keys import public_keys_of
from dispatcher.core.ed25519 import PrivateKey
from dispatcher.core.signature import sign
from tests.client.played import Reply, played

# RFC 8037, A.2: the public key of the example, and its 32 bytes in standard base64.
RFC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_TEXT = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_a_jwk_is_the_same_key() -> None:
    assert public_keys_of(jwks(RFC_KEY, {**RFC_KEY, "use": "sig", "kid": "1"})) == (RFC_TEXT,) * 2


def test_a_callback_is_verified_by_what_the_service_publishes() -> None:
    own = PrivateKey(b"s" * 32)
    keys = public_keys_of(jwks(own.public.jwk()))
    assert keys == (own.public.text,)
    body = b'{"id":"evt_1","type":"ping","timestamp":"t","callerId":"clr_1","data":{}}'
    headers = {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": "1769851800",
        "Webhook-Signature": sign([b"x" * 32], "evt_1", 1_769_851_800, body, keys=[own]),
    }
    now = 1_769_851_800_000
    event = verify(None, headers, body, now=now, public_keys=keys, caller_id="clr_1")
    assert event.type == "ping"


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "RSA", "n": "x", "e": "AQAB"},
        {**RFC_KEY, "crv": "X25519"},
        {**RFC_KEY, "use": "enc"},
        {**RFC_KEY, "x": "AAAA"},
        {**RFC_KEY, "x": "é"},
        {"kty": "OKP"},
        "text",
    ],
)
def test_other_keys_are_passed_over(other: Any) -> None:
    """RFC 7517, 5: keys that are not understood are to be ignored."""
    assert public_keys_of(jwks(other, RFC_KEY)) == (RFC_TEXT,)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>"])
def test_what_is_no_jwk_set_is_told(body: bytes) -> None:
    with pytest.raises(ValueError, match="no JWK set"):
        public_keys_of(body)


async def test_keys_are_kept_for_a_while() -> None:
    async with played(Reply(200, jwks(RFC_KEY)), Reply(200, jwks())) as (service, client):
        assert await client.public_keys() == (RFC_TEXT,)
        service.now += 299
        assert await client.public_keys() == (RFC_TEXT,)
        service.now += 1
        assert await client.public_keys() == ()
    assert [seen.target for seen in service.seen] == ["/.well-known/jwks.json"] * 2


async def test_another_service_has_none() -> None:
    async with played(Reply(200, b"<html>")) as (_, client):
        with pytest.raises(Unreachable, match="no JWK set"):
            await client.public_keys()
