"""How an attempt came out: closed unions for jobs and for deliveries.

A runner reports a `JobOutcome`. A sender reports a `SendResult`, which `classify` turns into a
`Verdict`: what it means for the delivery. Every `match` over them ends in `assert_never`.
"""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from msgspec import Struct

from dispatcher.core.breaker import Sign
from dispatcher.core.model import AttemptError, Instant
from dispatcher.core.retry import parse_retry_after

# --- Jobs --------------------------------------------------------------------------------------


class Succeeded(Struct, frozen=True):
    """The job is done. `result` is JSON in UTF-8."""

    result: bytes


class Failed(Struct, frozen=True):
    """The job has failed for good: `Fail`, or an input that the handler's type refuses."""

    code: str
    detail: str


class AttemptFailed(Struct, frozen=True):
    """This attempt failed: an exception, a timeout, or `Retry(after)`."""

    code: str
    detail: str
    after_seconds: float | None = None


class Canceled(Struct, frozen=True):
    """The handler raised `Cancel`, or stopped because it was asked to."""

    why: str


class Snoozed(Struct, frozen=True):
    """The handler raised `Snooze`: the attempt is given back."""

    seconds: float


class GivenBack(Struct, frozen=True):
    """The service shut down before the job ended: the attempt is given back."""


class WorkerLost(Struct, frozen=True):
    """The lease ended and nobody said how the attempt came out."""


JobOutcome: TypeAlias = (
    Succeeded | Failed | AttemptFailed | Canceled | Snoozed | GivenBack | WorkerLost
)


# --- Deliveries: what the sender saw -----------------------------------------------------------


class Answered(Struct, frozen=True, kw_only=True):
    """The receiver answered, whatever it said. `body` is the start of the answer, or None."""

    status_code: int
    duration_ms: int
    retry_after: str | None = None
    body: bytes | None = None


class NotSent(Struct, frozen=True, kw_only=True):
    """No complete answer came.

    `code` is one of `dns`, `connect`, `tls`, `timeout`, `closed` (the connection ended early),
    `bad-answer` (not HTTP, or past a cap). `status_code` is the answer's if its head had come.
    """

    code: str
    detail: str
    duration_ms: int
    status_code: int | None = None


class NotAllowed(Struct, frozen=True):
    """The address policy refused the URL, or the address that its name leads to."""

    reason: str
    detail: str


class NotTried(Struct, frozen=True):
    """Nothing was sent, for want of something of this machine's: it has no open file left, say.

    That tells nothing of the receiver, and is no attempt.
    """

    detail: str


Tried: TypeAlias = Answered | NotSent | NotAllowed
SendResult: TypeAlias = Tried | NotTried


# --- Deliveries: what it means -----------------------------------------------------------------


class Delivered(Struct, frozen=True):
    """A 2xx in time."""


class Retriable(Struct, frozen=True):
    """Failed; to be tried again by the schedule, not before `retry_after`."""

    error: AttemptError
    retry_after: Instant | None = None


class Gone(Struct, frozen=True):
    """410: the receiver wants no more (Standard Webhooks)."""

    error: AttemptError


class Refusal(Struct, frozen=True):
    """Policy refuses the address: no retry can help."""

    error: AttemptError


class Unknown(Struct, frozen=True):
    """Attempts were made and nobody recorded how they came out."""


Verdict: TypeAlias = Delivered | Retriable | Gone | Refusal | Unknown

_HONOURS_RETRY_AFTER: Final = frozenset({429, 503})


def classify(result: Tried, received_at: Instant) -> Verdict:
    """What an attempt means: success is a 2xx, anything else a failure; redirects are failures."""
    match result:
        case Answered(status_code=status) if 200 <= status < 300:  # noqa: PLR2004  # RFC 9110 15.3
            return Delivered()
        case Answered(status_code=410):
            return Gone(AttemptError("gone", "the receiver answered 410: it wants no more"))
        case Answered(status_code=status, retry_after=header):
            after = None
            if header is not None and status in _HONOURS_RETRY_AFTER:
                after = parse_retry_after(header, received_at)
            return Retriable(AttemptError("status", f"the receiver answered {status}"), after)
        case NotSent(code=code, detail=detail):
            return Retriable(AttemptError(code, detail))
        case NotAllowed(reason=reason, detail=detail):
            return Refusal(AttemptError(reason, detail))
        case _:
            assert_never(result)


_NO_CONNECTION: Final = frozenset({"dns", "connect", "tls"})
_SERVER_ERRORS: Final = range(500, 600)  # RFC 9110, 15.6


def sign_of(result: Tried) -> Sign:
    """What an attempt tells of its receiver, whatever becomes of the delivery.

    A 4xx is an answer: what is wrong is this delivery, or who may ask. So is a redirect.
    """
    match result:
        case Answered(status_code=status):
            return Sign.NO_SERVICE if status in _SERVER_ERRORS else Sign.ANSWERED
        case NotSent(code=code):
            return Sign.NO_CONNECTION if code in _NO_CONNECTION else Sign.NO_SERVICE
        case NotAllowed():
            return Sign.NOTHING
        case _:
            assert_never(result)
