"""The service's own key: Ed25519 (RFC 8032) for `v1a` signatures, and the forms it is told in.

The forms of a key: `whsk_` and `whpk_` as Standard Webhooks write it (the private one is the seed
and, behind it, the public key), and a JSON Web Key (RFC 8037) for `/.well-known/jwks.json`.

It stands in the core, although it leans on `cryptography`: signing with Ed25519 draws no chance
(RFC 8032, 5.1.6), so it is as pure as the HMAC of `signature`. A new key's seed is an argument.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode, urlsafe_b64encode
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32


class PublicKey:
    """Tells whether a signature was made with the private key that belongs to it."""

    def __init__(self, raw: bytes) -> None:
        """Raises `ValueError` unless `raw` has 32 bytes."""
        if len(raw) != PUBLIC_BYTES:
            raise ValueError(f"an Ed25519 public key has {PUBLIC_BYTES} bytes, not {len(raw)}")
        self.raw: Final = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.text})"

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether `signature` is one of `content`; False for whatever is none."""
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    @property
    def text(self) -> str:
        """`whpk_` and the key in base64."""
        return PUBLIC_PREFIX + b64encode(self.raw).decode("ascii")

    @cached_property
    def thumbprint(self) -> str:
        """SHA-256 of the key's required members in their order, in base64url (RFC 7638, 3)."""
        members = f'{{"crv":"Ed25519","kty":"OKP","x":"{_unpadded(self.raw)}"}}'
        return _unpadded(hashlib.sha256(members.encode()).digest())

    def jwk(self) -> dict[str, str]:
        """The key as a member of a JWK set (RFC 7517; RFC 8037, 2), with its `whpk_` form besides.

        `alg` is the fully-specified name (RFC 9864, 2.2); `EdDSA` is deprecated by it. A member
        that a reader does not know is passed over (RFC 7517, 4).
        """
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": _unpadded(self.raw),
            "kid": self.thumbprint,
            "use": "sig",
            "alg": "Ed25519",
            "whpk": self.text,
        }


class PrivateKey:
    """Signs. Its `repr` does not show it."""

    def __init__(self, seed: bytes) -> None:
        """Raises `ValueError` unless `seed` has 32 bytes; nobody must be able to guess them."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"the seed of an Ed25519 key has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: Final = PublicKey(
            self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        )

    def __repr__(self) -> str:
        return "PrivateKey(***)"

    def sign(self, content: bytes) -> bytes:
        """The signature, 64 bytes: the same for the same content."""
        return self._key.sign(content)

    def reveal(self) -> str:
        """`whsk_` and the seed with the public key behind it, in base64. It is secret."""
        return PRIVATE_PREFIX + b64encode(self._seed + self.public.raw).decode("ascii")


def parse_private_key(text: str) -> PrivateKey:
    """The key that `PrivateKey.reveal` wrote.

    Raises:
        ValueError: it is none, or its public half is another's; the message never contains it.
    """
    raw = _decode(text, PRIVATE_PREFIX, SEED_BYTES + PUBLIC_BYTES)
    key = PrivateKey(raw[:SEED_BYTES])
    if key.public.raw != raw[SEED_BYTES:]:
        raise ValueError("the two halves of the private key (whsk_) don't belong together")
    return key


def parse_public_key(text: str) -> PublicKey:
    """The key that `PublicKey.text` wrote.

    Raises:
        ValueError: it is none, or another kind of key.
    """
    return PublicKey(_decode(text, PUBLIC_PREFIX, PUBLIC_BYTES))


def _decode(text: str, prefix: str, size: int) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"the key must begin with {prefix}")
    encoded = text.removeprefix(prefix)
    try:
        raw = b64decode(encoded)
        canonical = b64encode(raw).decode("ascii") == encoded
    except ValueError:  # binascii.Error is one too
        canonical = False
    if not canonical:
        raise ValueError(f"the key must be {prefix} and then standard base64 with its padding")
    if len(raw) != size:
        raise ValueError(f"the key behind {prefix} must have {size} bytes; it has {len(raw)}")
    return raw


def _unpadded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
