"""Signatures of callbacks as Standard Webhooks 1.0 has them: made by us, verified by receivers.

The signed content is `{webhook-id}.{webhook-timestamp}.{body}` (the specification, "Signature
scheme"); the header `webhook-signature` is a list of `version,base64` with one space between.
Some public verifiers trip over anything else than exactly that, so nothing else is emitted.

`v1` is HMAC-SHA256 with a secret that sender and receiver share; `v1a` is Ed25519 with a key of the
service's own, over the same bytes (its keys: `ed25519`). Elements stand in that order, and `verify`
passes over versions that it does not know, as public verifiers do.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from dispatcher.core.errors import DispatcherError

SECRET_PREFIX = "whsec_"  # noqa: S105  # the public prefix of secrets, not one of them
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

DEFAULT_TOLERANCE_SECONDS = 300

_HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
_ASYMMETRIC_PREFIXES = ("whsk_", "whpk_")
# Twelve digits reach past the year 33,000: more can't be a timestamp in seconds.
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Signs(Protocol):
    """A key that signs: `ed25519.PrivateKey`."""

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, as bytes."""
        ...


class Verifies(Protocol):
    """The public key that belongs to it: `ed25519.PublicKey`."""

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether `signature` is one of `content`; never raises."""
        ...


class VerificationError(DispatcherError):
    """A webhook that must not be trusted.

    `reason` is a stable word: "missing-header", "repeated-header", "bad-id", "bad-timestamp",
    "too-old", "too-new" or "bad-signature".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_secret(text: str) -> bytes:
    """The key of a signing secret: 24 to 64 bytes, in base64 behind `whsec_`.

    The prefix may be missing, as in every public library. The base64 must be the standard one,
    padded and canonical: decoders differ over anything else, and a secret that only some
    libraries can read would fail at the receiver's. A `whsk_` or `whpk_` key is refused, since
    it is not symmetric (some libraries silently take it as an HMAC key).

    Raises:
        ValueError: it is not such a secret; the message never contains it.
    """
    if text.startswith(_ASYMMETRIC_PREFIXES):
        raise ValueError("the secret is an Ed25519 key (whsk_, whpk_); v1 needs one with whsec_")
    encoded = text.removeprefix(SECRET_PREFIX)
    try:
        raw = b64decode(encoded)
        canonical = b64encode(raw).decode("ascii") == encoded
    except ValueError:  # binascii.Error is one too
        canonical = False
    if not canonical:
        raise ValueError("the secret must be whsec_ and then standard base64 with its padding")
    return _of_good_length(raw)


def format_secret(raw: bytes) -> str:
    """The text of a signing secret, as `parse_secret` takes it.

    Raises:
        ValueError: it has fewer than 24 or more than 64 bytes.
    """
    return SECRET_PREFIX + b64encode(_of_good_length(raw)).decode("ascii")


def _of_good_length(raw: bytes) -> bytes:
    if not MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"the secret must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes once decoded; "
            f"it has {len(raw)}"
        )
    return raw


def signed_content(id: str, timestamp: int, body: bytes) -> bytes:  # noqa: A002  # the field's own word
    """The bytes that every signature of a callback is over; `timestamp` in seconds.

    Raises:
        ValueError: the id has a full stop, so that it could be cut in another place (the
            specification, "Signature scheme").
    """
    if "." in id:
        raise ValueError("a webhook-id must not contain a full stop")
    return f"{id}.{timestamp}.".encode() + body


def sign(
    secrets: Sequence[bytes],
    id: str,  # noqa: A002  # the field's own word
    timestamp: int,
    body: bytes,
    *,
    keys: Sequence[Signs] = (),
) -> str:
    """The value of `webhook-signature`: one `v1` element a secret, then one `v1a` a key, in order.

    Args:
        secrets: keys as `parse_secret` gives them; several while a rotation is under way.
        id: the value of `webhook-id`.
        timestamp: seconds since the Unix epoch, the value of `webhook-timestamp`.
        body: the bytes as they are sent.
        keys: the service's own; several while they are rotated.

    Raises:
        ValueError: there is no secret, or the id has a full stop.
    """
    if not secrets:
        raise ValueError("a callback is signed with one secret at least")
    content = signed_content(id, timestamp, body)
    elements = ["v1," + _mac(secret, content) for secret in secrets]
    elements += ["v1a," + b64encode(key.sign(content)).decode("ascii") for key in keys]
    return " ".join(elements)


@lru_cache(maxsize=4096)
def _keyed(secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, digestmod="sha256")


def _mac(secret: bytes, content: bytes) -> str:
    # A copy of the keyed state, and not `hmac.digest`: that lets go of the interpreter's lock at
    # every call, for which another thread may take it for milliseconds; this keeps it for short
    # bodies.
    mac = _keyed(secret).copy()
    mac.update(content)
    return b64encode(mac.digest()).decode("ascii")


def verify(
    secrets: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: int,
    tolerance_seconds: float = DEFAULT_TOLERANCE_SECONDS,
    public_keys: Sequence[Verifies] = (),
) -> None:
    """Return if the webhook is signed as was asked for, else raise.

    With secrets, one of its `v1` signatures must have been made with one of them. With public keys,
    one of its `v1a` signatures with one of those. With both, both must hold. Unknown versions and
    malformed elements are passed over. The comparison of `v1` takes constant time.

    Args:
        secrets: keys as `parse_secret` gives them.
        headers: of the request; their names in any case.
        body: the bytes as they were received.
        now: milliseconds since the Unix epoch.
        tolerance_seconds: how far the timestamp may lie from now, in either direction.
        public_keys: the service's, as `ed25519.parse_public_key` gives them.

    Raises:
        VerificationError: the webhook must not be trusted; nothing else, whatever came in.
    """
    id_, timestamp, signatures = _webhook_headers(headers)
    if "." in id_:
        raise VerificationError("bad-id", f"{ID_HEADER} contains a full stop")
    _check_timestamp(timestamp, now, tolerance_seconds)
    # Header values may hold surrogates where their bytes were not UTF-8: these must not raise.
    content = f"{id_}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    if (secrets or not public_keys) and not _has_v1(signatures, secrets, content):
        raise VerificationError("bad-signature", f"no v1 signature in {SIGNATURE_HEADER} matches")
    if public_keys and not _has_v1a(signatures, public_keys, content):
        raise VerificationError("bad-signature", f"no v1a signature in {SIGNATURE_HEADER} matches")


def _elements(signatures: str, wanted: str) -> list[bytes]:
    """What stands behind `wanted,` in each element of that version."""
    parts = [element.partition(",") for element in signatures.split(" ")]
    return [
        given.encode("utf-8", "surrogatepass") for version, _, given in parts if version == wanted
    ]


def _has_v1(signatures: str, secrets: Sequence[bytes], content: bytes) -> bool:
    expected = [_mac(secret, content).encode("ascii") for secret in secrets]
    return any(
        any([hmac.compare_digest(mac, given) for mac in expected])  # noqa: C419  # a list: compare with all, so that time does not tell which matched
        for given in _elements(signatures, "v1")
    )


def _has_v1a(signatures: str, public_keys: Sequence[Verifies], content: bytes) -> bool:
    for given in _elements(signatures, "v1a"):
        try:
            signature = b64decode(given)
        except ValueError:  # not base64: passed over
            continue
        if b64encode(signature) == given and any(
            key.verifies(signature, content) for key in public_keys
        ):
            return True
    return False


def _webhook_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """The three values; one given twice could be read differently by who verifies and who acts."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered in _HEADERS and found.setdefault(lowered, value) != value:
            raise VerificationError("repeated-header", f"{lowered} was given twice")
    for name in _HEADERS:
        if not found.get(name):
            raise VerificationError("missing-header", f"{name} is missing")
    return found[ID_HEADER], found[TIMESTAMP_HEADER], found[SIGNATURE_HEADER]


def _check_timestamp(text: str, now: int, tolerance_seconds: float) -> None:
    if not _TIMESTAMP.fullmatch(text):
        raise VerificationError("bad-timestamp", f"{TIMESTAMP_HEADER} is not in whole seconds")
    age = now - int(text) * 1000
    if age > tolerance_seconds * 1000:
        raise VerificationError("too-old", f"{TIMESTAMP_HEADER} is too far in the past")
    if age < -tolerance_seconds * 1000:
        raise VerificationError("too-new", f"{TIMESTAMP_HEADER} is too far in the future")
