"""A submission, made and followed with patience: what `dispatcher submit` does on the wire."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from dispatcher.client.http import Answer, Refused, Service, Unreachable

TRIES: Final = 5
"""How often a request is tried; a submission's tries bear one Idempotency-Key: one job."""

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
FIRST_LOOK_SECONDS: Final = 0.05
LOOKS_GROW: Final = 1.5

Sleep = Callable[[float], None]


def submit_job(service: Service, body: bytes, key: str, *, sleep: Sleep) -> dict[str, Any]:
    """Submit, and answer the job as the service shows it.

    Raises `Refused`, or `Unreachable` after the last try.
    """
    headers = (("idempotency-key", key),)
    return _job(
        _patiently(lambda: service.call("POST", "/v1/jobs", body=body, headers=headers), sleep)
    )


def wait_for_job(
    service: Service, job: dict[str, Any], *, sleep: Sleep, saw: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Look at the job until it is done; `saw` is given each look.

    The looks begin close together, for short jobs; for long ones the service's `Retry-After` says
    how far apart they come to lie. A service that restarts meanwhile is waited for. Raises
    `Refused`, or `Unreachable` when it stays away.
    """
    path = f"/v1/jobs/{job['id']}"
    pause = FIRST_LOOK_SECONDS
    while not job.get("done"):
        sleep(pause)
        answer = _patiently(lambda: service.call("GET", path), sleep)
        job = _job(answer)
        saw(job)
        wish = answer.retry_after_seconds
        longest = LONGEST_PAUSE_SECONDS if wish is None else max(wish, FIRST_LOOK_SECONDS)
        pause = min(pause * LOOKS_GROW, longest, LONGEST_PAUSE_SECONDS)
    return job


def result_of(service: Service, job: dict[str, Any], *, sleep: Sleep) -> bytes:
    """The result of a job that succeeded, as JSON, whatever its size."""
    return _patiently(lambda: service.call("GET", f"/v1/jobs/{job['id']}/result"), sleep).body


def _job(answer: Answer) -> dict[str, Any]:
    job = answer.json()
    if not isinstance(job, dict) or not isinstance(job.get("id"), str):
        raise Unreachable("the answer is no job: is that the dispatcher? Check DISPATCHER_URL")
    return job


def _patiently(call: Callable[[], Answer], sleep: Sleep) -> Answer:
    pause = FIRST_PAUSE_SECONDS
    for _ in range(TRIES - 1):
        try:
            return call()
        except Unreachable as error:
            print(f"dispatcher: {error}; trying again", file=sys.stderr)
            wish = None
        except Refused as error:
            if not error.again:
                raise
            print(f"dispatcher: {error}; trying again", file=sys.stderr)
            wish = error.retry_after_seconds
        sleep(min(pause if wish is None else wish, LONGEST_PAUSE_SECONDS))
        pause *= 2
    return call()
