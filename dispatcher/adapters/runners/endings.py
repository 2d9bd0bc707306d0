"""What it means for the job when a handler raises."""

from __future__ import annotations

import logging
import math
import re
from typing import Any, Final

from dispatcher.adapters.runners.text import safe_text
from dispatcher.core.errors import Cancel, Fail, Retry, Snooze, Verdict
from dispatcher.core.model import Job
from dispatcher.core.outcome import AttemptFailed, Canceled, Failed, JobOutcome, Snoozed
from dispatcher.core.retry import MAX_AFTER_SECONDS
from dispatcher.core.trace import trace_id

logger: Final = logging.getLogger("dispatcher.handlers")
"""For operators: tracebacks of handlers, and what their authors should mend. Each record has
`job_id`, `job_type`, `attempt`, `caller_id`, `correlation_id` and `trace_id`."""

HANDLER_ERROR: Final = "handler-error"
BAD_INPUT: Final = "bad-input"
BAD_RESULT: Final = "bad-result"
RETRY: Final = "retry"

_CODE: Final = re.compile("[a-z0-9][a-z0-9._-]{0,99}")
_NO_CODE: Final = "failed"


def ids_of(job: Job) -> dict[str, Any]:
    """What a log record of a job is found by."""
    return {
        "job_id": job.id,
        "job_type": job.type,
        "attempt": job.attempt_count,
        "caller_id": job.caller_id,
        "correlation_id": job.correlation_id,
        "trace_id": None if job.trace is None else trace_id(job.trace),
    }


def ending(
    error: BaseException, job: Job, fail_on: tuple[type[BaseException], ...] = ()
) -> JobOutcome:
    """What becomes of the attempt after the handler raised `error`; `fail_on` end the job.

    The caller is told of an unexpected exception by its class alone: messages and tracebacks may
    hold what isn't the caller's, so they go to the log.
    """
    verdict = _verdict(error)
    match verdict:
        case Fail(code=code, detail=detail):
            return Failed(_code(code, job), safe_text(detail))
        case Retry(after=after, detail=detail):
            said = safe_text(detail) or "The handler asked to be tried again."
            return AttemptFailed(RETRY, said, None if after is None else _seconds(after, job))
        case Cancel(why=why):
            return Canceled(safe_text(why) or "The handler canceled the job.")
        case Snooze(seconds=wanted):
            seconds = _seconds(wanted, job)
            if seconds is not None:
                return Snoozed(seconds)
            return AttemptFailed(HANDLER_ERROR, type(error).__name__)
        case _:
            logger.error(
                "The handler of job %s (%s), attempt %d, raised %s.",
                job.id,
                job.type,
                job.attempt_count,
                type(error).__name__,
                exc_info=error,
                extra=ids_of(job),
            )
            name = safe_text(type(error).__name__)
            if isinstance(error, fail_on):
                return Failed(HANDLER_ERROR, name)
            return AttemptFailed(HANDLER_ERROR, name)


def _verdict(error: BaseException) -> BaseException:
    """`error`, or the verdict in a group of nothing but verdicts, the first of several.

    A `Fail` raised in a task of an `asyncio.TaskGroup` comes out in an exception group.
    """
    while isinstance(error, BaseExceptionGroup):
        _, others = error.split(Verdict)
        if others is not None:
            return error
        error = error.exceptions[0]
    return error


def _code(code: object, job: Job) -> str:
    if isinstance(code, str) and _CODE.fullmatch(code):
        return str(code)
    logger.warning(
        "The handler of job %s (%s) raised Fail with the code %r; callers see %r instead. A code "
        "matches %s.",
        job.id,
        job.type,
        code,
        _NO_CODE,
        _CODE.pattern,
        extra=ids_of(job),
    )
    return _NO_CODE


def _seconds(wanted: Any, job: Job) -> float | None:
    """`wanted` in 0 to a year, or None if it is no such wish; then the log says so."""
    try:
        seconds = float(wanted)
    except OverflowError:  # an int beyond the range of float
        seconds = MAX_AFTER_SECONDS
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds >= 0:
        return min(seconds, MAX_AFTER_SECONDS)
    logger.warning(
        "The handler of job %s (%s) asked to wait %r seconds, which is not understood. It is a "
        "number from 0 to %d (a year).",
        job.id,
        job.type,
        wanted,
        MAX_AFTER_SECONDS,
        extra=ids_of(job),
    )
    return None
