"""What a sender saw, and what it means for the delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import AttemptError
from dispatcher.core.outcome import (
    Answered,
    Delivered,
    Gone,
    NotAllowed,
    NotSent,
    Refusal,
    Retriable,
    classify,
)
from tests.core.samples import NOW


def answered(status: int, retry_after: str | None = None) -> Answered:
    return Answered(status_code=status, duration_ms=12, retry_after=retry_after)


@pytest.mark.parametrize("status", range(100, 600))
def test_a_2xx_is_success_410_is_gone_and_all_else_is_a_failure(status: int) -> None:
    verdict = classify(answered(status), NOW)
    if 200 <= status <= 299:
        assert verdict == Delivered()
    elif status == 410:
        assert isinstance(verdict, Gone)
        assert verdict.error.code == "gone"
    else:
        error = AttemptError("status", f"the receiver answered {status}")
        assert verdict == Retriable(error, None)


@given(st.integers(-(10**9), 10**9).filter(lambda status: not 100 <= status < 600))
def test_no_number_beyond_http_counts_as_success(status: int) -> None:
    assert isinstance(classify(answered(status), NOW), Retriable)


@pytest.mark.parametrize("status", range(300, 600))
def test_retry_after_counts_on_429_and_503_alone(status: int) -> None:
    verdict = classify(answered(status, "120"), NOW)
    if status == 410:
        assert isinstance(verdict, Gone)
        return
    assert isinstance(verdict, Retriable)
    assert verdict.retry_after == (NOW + 120_000 if status in {429, 503} else None)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("0", NOW),
        ("Sat, 31 Jan 2026 09:31:00 GMT", NOW + 60_000),
        ("Sat, 31 Jan 2026 09:29:00 GMT", NOW),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_in_both_forms_and_in_none(value: str, at: int | None) -> None:
    verdict = classify(answered(503, value), NOW)
    assert isinstance(verdict, Retriable)
    assert verdict.retry_after == at


@given(st.text(), st.integers(100, 599))
def test_no_header_value_makes_it_raise(value: str, status: int) -> None:
    verdict = classify(answered(status, value), NOW)
    assert isinstance(verdict, Delivered) == (200 <= status < 300)


@pytest.mark.parametrize("code", ["dns", "connect", "tls", "timeout", "closed", "bad-answer"])
def test_no_complete_answer_is_a_failure_that_is_tried_again(code: str) -> None:
    not_sent = NotSent(code=code, detail="why", duration_ms=15_000)
    assert classify(not_sent, NOW) == Retriable(AttemptError(code, "why"))


def test_a_2xx_whose_body_did_not_end_is_a_failure() -> None:
    cut_off = NotSent(code="timeout", detail="no end", duration_ms=15_000, status_code=200)
    assert isinstance(classify(cut_off, NOW), Retriable)


def test_a_refused_address_ends_it_with_the_reason() -> None:
    refused = NotAllowed("private-network", "10.0.0.0/8 is refused")
    assert classify(refused, NOW) == Refusal(
        AttemptError("private-network", "10.0.0.0/8 is refused")
    )
