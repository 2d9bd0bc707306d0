"""The service's public keys, for receivers that have no secret in common with it (`v1a`)."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64encode, urlsafe_b64decode
from typing import Any, Final

import msgspec
from msgspec import Struct

from dispatcher.client.errors import Unreachable
from dispatcher.client.transport import Transport

PATH: Final = "/.well-known/jwks.json"
KEPT_SECONDS: Final = 300.0
"""As long as the service's `Cache-Control` says; a new key signs beside the old one for longer."""

_PREFIX: Final = "whpk_"
_KEY_BYTES: Final = 32


class _Jwk(Struct, frozen=True):
    """A JSON Web Key (RFC 7517, 4; RFC 8037, 2)."""

    kty: str
    crv: str | None = None
    x: str | None = None
    use: str | None = None


class _JwkSet(Struct, frozen=True):
    keys: list[Any]


def public_keys_of(jwks: bytes) -> tuple[str, ...]:
    """The keys of a JWK set that `v1a` is verified with, each as `whpk_…`.

    Others are passed over, as they must be (RFC 7517, 5). Raises `ValueError` if it is no JWK set.
    """
    try:
        found = msgspec.json.decode(jwks, type=_JwkSet).keys
    except msgspec.DecodeError:
        raise ValueError("this is no JWK set") from None
    keys = [_key_of(each) for each in found]
    return tuple(each for each in keys if each is not None)


def _key_of(member: Any) -> str | None:
    try:
        jwk = msgspec.convert(member, _Jwk)
        raw = urlsafe_b64decode(f"{jwk.x or ''}==")
    except (msgspec.ValidationError, binascii.Error, ValueError):
        return None
    fits = (jwk.kty, jwk.crv) == ("OKP", "Ed25519") and jwk.use in {None, "sig"}
    if not fits or len(raw) != _KEY_BYTES:
        return None
    return _PREFIX + b64encode(raw).decode("ascii")


class PublicKeys:
    """The keys as they are now, asked for again when they have been kept for long enough."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = asyncio.Lock()
        self._keys: tuple[str, ...] = ()
        self._until = float("-inf")

    async def get(self) -> tuple[str, ...]:
        """Raises `Refused`, `Unreachable`."""
        async with self._lock:
            if self._transport.around.monotonic() < self._until:
                return self._keys
            answer = await self._transport.call("GET", PATH)
            try:
                self._keys = public_keys_of(answer.body)
            except ValueError as error:
                raise Unreachable(
                    f"{error}: is that the dispatcher? Check DISPATCHER_URL"
                ) from None
            self._until = self._transport.around.monotonic() + KEPT_SECONDS
            return self._keys
