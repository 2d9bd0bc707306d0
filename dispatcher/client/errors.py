"""What can go wrong for a caller: one class a kind, each with all that the service said of it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from dispatcher.core.errors import DispatcherError, FieldError

_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class ClientError(DispatcherError):
    """The root of what a client raises on purpose."""


class Unreachable(ClientError):
    """No answer came: nothing listens there, the connection broke, or it took too long.

    Whether the request was carried out is unknown.
    """


class WaitTimedOut(ClientError):
    """The job was not done in the time that one would wait; it goes on. `job` is how it was."""

    def __init__(self, job: Any, seconds: float) -> None:
        super().__init__(
            f"{job.id} is {job.status} after {seconds:g} s: wait again, or cancel it if it is not "
            "needed any more"
        )
        self.job = job


class Refused(ClientError):
    """The service answered that it won't: its problem (RFC 9457), told in one line.

    - `status`: of HTTP. `code`: the problem's stable word, "" if the answer was no problem.
    - `detail`: a sentence for a person. `errors`: all that is wrong with a body.
    - `again`: whether the same request may succeed later; `retry_after_seconds`: when, if the
      service said so.
    - `request_id`: what an operator can find it by. `problem`: every member, as it came.
    """

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or _phrase(status))
        self.errors = _errors(problem.get("errors"))
        self.again = status in _TRY_AGAIN
        self.retry_after_seconds = retry_after
        self.request_id = request_id
        told = "; ".join(f"{each.pointer or 'body'}: {each.detail}" for each in self.errors)
        super().__init__(f"{status}{f' {self.code}' if self.code else ''}: {told or self.detail}")


class BadRequest(Refused):
    """The request can't be understood (400, 406, 415 and other 4xx)."""


class Unauthorized(Refused):
    """There is no API key, or it is unknown, expired or revoked (401)."""


class Forbidden(Refused):
    """The role of the API key may not make this call (403)."""


class NotFound(Refused):
    """There is no such thing, or it is another caller's (404)."""


class Conflict(Refused):
    """It clashes with how things stand (409)."""


class JobNotDone(Conflict):
    """The result was asked for before the job ended."""


class JobUnsuccessful(Conflict):
    """The result was asked for of a job that ended without one: failed, canceled or expired.

    `error` is the job's own, `{"code", "detail", "attempt"}`, or None.
    """

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Why it failed, as the job says."""
        found = self.problem.get("error")
        return found if isinstance(found, Mapping) else None


class Gone(Refused):
    """It is not kept any more (410)."""


class TooLarge(Refused):
    """The body is larger than the service takes (413)."""


class Invalid(Refused):
    """The request can be read and does not fit (422); `errors` says where."""


class KeyReused(Invalid):
    """The idempotency key was used before, with another body."""


class LimitExceeded(Refused):
    """A limit of this caller: its rate, or what may wait (429)."""


class Unavailable(Refused):
    """The service can't do it now (502, 503, 504).

    A submission may have been taken all the same: send it again with the same idempotency key.
    """


class ServiceFault(Refused):
    """A defect of the service (500 and other 5xx); `request_id` is what to tell its operator."""


_BY_CODE: Final[dict[str, type[Refused]]] = {
    "job-not-done": JobNotDone,
    "job-failed": JobUnsuccessful,
    "job-canceled": JobUnsuccessful,
    "job-expired": JobUnsuccessful,
    "idempotency-key-reused": KeyReused,
}
_BY_STATUS: Final[dict[int, type[Refused]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: LimitExceeded,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(
    status: int,
    problem: Mapping[str, Any],
    retry_after: float | None = None,
    request_id: str | None = None,
) -> Refused:
    """The error that tells of an answer which is no 2xx."""
    kind = _BY_CODE.get(str(problem.get("code", ""))) or _BY_STATUS.get(status)
    if kind is None:
        kind = ServiceFault if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest
    return kind(status, problem, retry_after, request_id)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an answer of this kind is unknown"


def _errors(found: object) -> tuple[FieldError, ...]:
    if not isinstance(found, list):
        return ()
    return tuple(
        FieldError(*(str(each.get(name) or "") for name in ("pointer", "code", "detail")))
        for each in found
        if isinstance(each, Mapping)
    )
