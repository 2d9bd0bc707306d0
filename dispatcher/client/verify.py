"""For receivers: is this callback from the service, for me, and what does it say?"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from dispatcher.core import signature
from dispatcher.core.signature import DEFAULT_TOLERANCE_SECONDS, VerificationError, parse_secret


class ReceivedEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a callback says. Members that a later version adds are passed over.

    - `id`: the same at every attempt: whoever has dealt with it once answers 2xx and does nothing.
    - `type`: `job.succeeded`, `job.failed`, `job.canceled`, `job.expired` and others.
    - `timestamp`: of the event, RFC 3339 in UTC.
    - `sequence`: counts the events of one job.
    - `data`: the job as it was then, as `GET /v1/jobs/{id}` shows it; its id is `data["id"]`.
    """

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]
    api_version: str = ""
    sequence: int | None = None
    caller_id: str | None = None
    callback_url: str | None = None


_decoder: Final = msgspec.json.Decoder(ReceivedEvent)


def verify(
    secret: str | Sequence[str] | None,
    headers: Mapping[str, str],
    body: bytes | bytearray | memoryview,
    *,
    now: int | None = None,
    tolerance_seconds: float = DEFAULT_TOLERANCE_SECONDS,
    caller_id: str | None = None,
    callback_url: str | None = None,
    public_keys: Sequence[str] = (),
) -> ReceivedEvent:
    """Check a callback's signature and return its event.

        try:
            event = verify(SECRET, request.headers, await request.read())
        except VerificationError as error:
            return Response(status=401, text=str(error))

    Args:
        secret: the signing secret, `whsec_…`; several while it is being changed. None: verify by
            `public_keys` alone, and then `caller_id` must be given: the service signs for all of
            its callers with the same key, so that any of them could have it post here.
        headers: of the request; their names in any case.
        body: the bytes as they came. JSON that was parsed and written again does not verify.
        now: milliseconds since the Unix epoch; None: this machine's clock.
        tolerance_seconds: how far the callback's timestamp may lie from now, in either direction.
        caller_id: if given, the callback must be for this caller (`clr_…`).
        callback_url: if given, the callback must have been posted to this URL: one that a service
            signed for another of its receivers is then not taken for one's own.
        public_keys: if given, one of these must have signed (`v1a`): each `whpk` of the service's
            `/.well-known/jwks.json`. With a secret too, both must hold.

    Raises:
        VerificationError: the callback must not be trusted: answer 401. `reason` is one of
            `signature.VerificationError`, or "bad-body", "other-event", "other-caller",
            "other-url".
        ValueError: a secret or key is malformed, or there is none; or there are public keys alone
            and no `caller_id`.
        TypeError: the body is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("give the body as the bytes that came, not as text or parsed JSON")
    secrets = [parse_secret(each) for each in _listed(secret)]
    keys = _parsed(public_keys)
    _check_enough(secrets, keys, caller_id)
    if now is None:
        now = time.time_ns() // 1_000_000
    raw = bytes(body)
    signature.verify(
        secrets, headers, raw, now=now, tolerance_seconds=tolerance_seconds, public_keys=keys
    )
    event = _read(raw)
    if event.id != _header(headers, signature.ID_HEADER):
        raise VerificationError("other-event", "the body names another event than webhook-id")
    if caller_id is not None and not _same(event.caller_id, caller_id):
        raise VerificationError("other-caller", "the callback is for another caller")
    if callback_url is not None and not _same(event.callback_url, callback_url):
        raise VerificationError("other-url", "the callback was made for another URL")
    return event


def _listed(secret: str | Sequence[str] | None) -> Sequence[str]:
    if secret is None:
        return ()
    return (secret,) if isinstance(secret, str) else secret


def _parsed(public_keys: Sequence[str]) -> list[signature.Verifies]:
    if not public_keys:
        return []
    if isinstance(public_keys, str):
        raise TypeError("give public_keys as a list")
    # Here, so that whoever does without needs not wait for `cryptography` to be imported.
    from dispatcher.core.ed25519 import parse_public_key  # noqa: PLC0415  # see above

    return [parse_public_key(each) for each in public_keys]


def _check_enough(
    secrets: list[bytes], keys: list[signature.Verifies], caller_id: str | None
) -> None:
    if secrets:
        return
    if not keys:
        raise ValueError("give the signing secret (whsec_...) that the callbacks are signed with")
    if caller_id is None:
        raise ValueError(
            "give caller_id too: the service's own key tells who sent a callback, not for whom"
        )


def _read(body: bytes) -> ReceivedEvent:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):  # ValidationError is one too; nested too deep
        raise VerificationError(
            "bad-body", "the signature is good, but the body is not an event of this service"
        ) from None


def _header(headers: Mapping[str, str], wanted: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def _same(named: str | None, expected: str) -> bool:
    return hmac.compare_digest((named or "").encode(), expected.encode())
