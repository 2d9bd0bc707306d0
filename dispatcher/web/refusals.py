"""Refusals (`RequestError`) that HTTP alone has; every other one is in `core/errors.py`."""

from __future__ import annotations

from typing import Final

from dispatcher.core.errors import InvalidParameter, JobNotDone, RequestError

PUT_ELSEWHERE: Final = "Put large data elsewhere and submit its URL."


class BodyTooLarge(RequestError):
    """The body is larger than a body may be."""

    code = "body-too-large"

    def __init__(self, limit: int, advice: str = PUT_ELSEWHERE) -> None:
        super().__init__(f"A body has at most {limit} bytes. {advice}")


class BodyTooSlow(RequestError):
    """The body did not come in time."""

    code = "body-too-slow"


class UnknownTransferCoding(RequestError):
    """The body is sent in a transfer coding that is not understood (RFC 9112, 6.1: 501)."""

    code = "unknown-transfer-coding"


class WrongMediaType(RequestError):
    """The body is declared as something else than JSON."""

    code = "wrong-media-type"


class NotAcceptable(RequestError):
    """The caller takes no form that there is."""

    code = "not-acceptable"


class WrongRole(RequestError):
    """The process has another role than to serve the API (RFC 9110, 15.5.20)."""

    code = "wrong-role"

    def __init__(self, role: str) -> None:
        super().__init__(
            "Only /healthz, /readyz and /metrics are served here, of one process with the role "
            f"{role!r}: send requests to the port of one that serves the API."
        )


class MetricsApart(RequestError):
    """The port is shared by several processes, each with metrics of its own."""

    code = "metrics-apart"

    def __init__(self) -> None:
        super().__init__(
            "Several processes share this port, and each counts for itself: set metrics_port, and "
            "scrape one port a process."
        )


class TooManyStreams(RequestError):
    """The caller has as many streams open as it may."""

    code = "too-many-streams"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} streams open, and no more may be: close some, or follow all of your "
            "jobs with the one of /v1/events."
        )


class StreamsFull(RequestError):
    """As many streams are open as the service may hold in memory."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("Too many streams are open at once: try again, or ask with Prefer: wait.")


class ResultNotYet(JobNotDone):
    """The result was asked for too early; `retry_seconds` says when to ask again."""

    def __init__(self, retry_seconds: str) -> None:
        super().__init__("The job is not done yet; ask again later, or wait for its callback.")
        self.retry_seconds = retry_seconds


class ResultGone(RequestError):
    """The job had a result, which is not kept any more."""

    code = "result-gone"


class BadQuery(InvalidParameter):
    """One query parameter can't be used: `parameter` names it."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter
