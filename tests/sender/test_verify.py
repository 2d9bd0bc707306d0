"""What a receiver gets from `dispatcher.client`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from multidict import CIMultiDict

import dispatcher.client
from dispatcher.client import ReceivedEvent, VerificationError, verify
from dispatcher.core.ed25519 import PrivateKey
from dispatcher.core.signature import format_secret, parse_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = format_secret(b"o" * 24)
NOW = 1_769_851_800_000

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "job.succeeded",
    "timestamp": "2026-01-31T09:30:00.000Z",
    "apiVersion": "1",
    "sequence": 2,
    "callerId": "clr_1",
    "callbackUrl": "https://receiver.example/hook",
    "data": {"id": "job_1", "status": "succeeded", "result": [1, "ü"]},
    "aMemberOfLater": True,
}


def signed(
    body: bytes, secret: str = SECRET, event_id: str = "evt_1", at: int = NOW // 1_000
) -> dict[str, str]:
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign([parse_secret(secret)], event_id, at, body),
    }


BODY = json.dumps(EVENT).encode()


def test_a_good_callback_gives_its_event() -> None:
    assert verify(SECRET, signed(BODY), BODY, now=NOW) == ReceivedEvent(
        id="evt_1",
        type="job.succeeded",
        timestamp="2026-01-31T09:30:00.000Z",
        api_version="1",
        sequence=2,
        caller_id="clr_1",
        callback_url="https://receiver.example/hook",
        data={"id": "job_1", "status": "succeeded", "result": [1, "ü"]},
    )


def test_headers_and_bodies_may_come_as_frameworks_have_them() -> None:
    headers = {name.title(): value for name, value in signed(BODY).items()}
    assert verify(SECRET, headers, BODY, now=NOW).id == "evt_1"
    assert verify(SECRET, CIMultiDict(headers), bytearray(BODY), now=NOW).id == "evt_1"
    assert verify(SECRET, headers, memoryview(BODY), now=NOW).id == "evt_1"


def test_the_time_is_now_unless_given() -> None:
    assert verify(SECRET, signed(BODY, at=int(time.time())), BODY).id == "evt_1"
    with pytest.raises(VerificationError) as caught:
        verify(SECRET, signed(BODY), BODY, tolerance_seconds=1)
    assert caught.value.reason == "too-old"


def test_one_of_several_secrets_is_enough() -> None:
    assert verify([OTHER, SECRET], signed(BODY), BODY, now=NOW).id == "evt_1"


def test_both_checks_of_the_guide_pass_for_ones_own() -> None:
    verify(
        SECRET,
        signed(BODY),
        BODY,
        now=NOW,
        caller_id="clr_1",
        callback_url="https://receiver.example/hook",
    )


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("bad-signature", {"secret": OTHER}),
        ("other-caller", {"caller_id": "clr_2"}),
        ("other-caller", {"caller_id": "clr_ü"}),
        ("other-url", {"callback_url": "https://receiver.example/hook2"}),
        ("too-old", {"now": NOW + 301_000}),
        ("too-new", {"now": NOW - 301_000}),
        ("missing-header", {"headers": {}}),
    ],
)
def test_what_must_not_be_trusted_names_its_reason(reason: str, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"secret": SECRET, "headers": signed(BODY), "now": NOW}
    with pytest.raises(VerificationError) as caught:
        verify(body=BODY, **(arguments | change))
    assert caught.value.reason == reason
    assert SECRET not in str(caught.value)


def test_a_changed_body_does_not_verify() -> None:
    with pytest.raises(VerificationError) as caught:
        verify(SECRET, signed(BODY), BODY.replace(b"job_1", b"job_2"), now=NOW)
    assert caught.value.reason == "bad-signature"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b"\xff",
        b'{"id":"evt_1","type":1,"timestamp":"","data":{}}',
        b'{"id":"evt_1","type":"ping","timestamp":"","data":' + b'{"a":' * 20_000,
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(SECRET, signed(body), body, now=NOW)
    assert caught.value.reason == "bad-body"


def test_the_body_must_be_of_the_id_that_receivers_deduplicate_by() -> None:
    with pytest.raises(VerificationError) as caught:
        verify(SECRET, signed(BODY, event_id="evt_2"), BODY, now=NOW)
    assert caught.value.reason == "other-event"


def test_an_event_without_caller_or_url_is_nobodys() -> None:
    body = json.dumps({k: v for k, v in EVENT.items() if not k.startswith("call")}).encode()
    assert verify(SECRET, signed(body), body, now=NOW).caller_id is None
    for check in ({"caller_id": "clr_1"}, {"callback_url": "https://receiver.example/hook"}):
        with pytest.raises(VerificationError):
            verify(SECRET, signed(body), body, now=NOW, **check)  # type: ignore[arg-type]  # either of the two


def test_misuse_is_told_to_the_programmer() -> None:
    with pytest.raises(TypeError, match="bytes"):
        verify(SECRET, signed(BODY), BODY.decode(), now=NOW)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ValueError, match="signing secret"):
        verify([], signed(BODY), BODY, now=NOW)
    with pytest.raises(ValueError, match="whsec_"):
        verify("whsec_???", signed(BODY), BODY, now=NOW)


def test_the_face_of_the_package_is_sorted() -> None:
    assert dispatcher.client.__all__ == sorted(dispatcher.client.__all__)
    for name in dispatcher.client.__all__:
        assert getattr(dispatcher.client, name).__doc__


# --- The service's own key ---------------------------------------------------------------------

OWN = PrivateKey(b"s" * 32)
WHPK = OWN.public.text


def doubly_signed(body: bytes = BODY, at: int = NOW // 1_000) -> dict[str, str]:
    signatures = sign([parse_secret(SECRET)], "evt_1", at, body, keys=[OWN])
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signatures,
    }


def test_public_keys_are_enough_for_who_says_which_caller_it_is() -> None:
    headers = doubly_signed()
    event = verify(None, headers, BODY, now=NOW, public_keys=[WHPK], caller_id="clr_1")
    assert event.caller_id == "clr_1"
    older = PrivateKey(b"t" * 32).public.text
    verify((), headers, BODY, now=NOW, public_keys=(older, WHPK), caller_id="clr_1")
    with pytest.raises(VerificationError) as caught:
        verify(None, headers, BODY, now=NOW, public_keys=[WHPK], caller_id="clr_2")
    assert caught.value.reason == "other-caller"


def test_public_keys_alone_do_not_tell_for_whom_it_is() -> None:
    """Any caller of the service can have it sign what it likes, and post it to any URL."""
    with pytest.raises(ValueError, match="caller_id"):
        verify(None, doubly_signed(), BODY, now=NOW, public_keys=[WHPK], callback_url="https://x")


def test_with_a_secret_and_public_keys_both_must_hold() -> None:
    verify(SECRET, doubly_signed(), BODY, now=NOW, public_keys=[WHPK])
    for secret, headers, key in (
        (SECRET, signed(BODY), WHPK),
        (OTHER, doubly_signed(), WHPK),
        (SECRET, doubly_signed(), PrivateKey(b"t" * 32).public.text),
    ):
        with pytest.raises(VerificationError) as caught:
            verify(secret, headers, BODY, now=NOW, public_keys=[key])
        assert caught.value.reason == "bad-signature"


def test_who_gives_nothing_to_verify_with_is_told() -> None:
    with pytest.raises(ValueError, match="signing secret"):
        verify(None, doubly_signed(), BODY, now=NOW, caller_id="clr_1")
    with pytest.raises(ValueError, match="whpk_"):
        verify(SECRET, doubly_signed(), BODY, now=NOW, public_keys=[SECRET])
    with pytest.raises(TypeError, match="list"):
        verify(SECRET, doubly_signed(), BODY, now=NOW, public_keys=WHPK)


def test_who_does_without_public_keys_does_not_wait_for_their_library() -> None:
    code = "import sys, dispatcher.client; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
