"""A submission, made and followed with patience: what `dispatcher submit` does on the wire."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from dispatcher.client.http import Answer, Refused, Service, Unreachable

TRIES: Final = 5
"""How often a request is tried; a submission's tries bear one Idempotency-Key: one job."""

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
FIRST_LOOK_SECONDS: Final = 0.05
LOOKS_GROW: Final = 1.5
WAIT_SECONDS: Final = 20
"""How long the service is asked to hold an answer: no proxy gives up so soon."""

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

    After the first look the service holds its answers until there is something new (`Prefer:
    wait`). With one that does not, the looks begin close together, for short jobs; for long ones
    its `Retry-After` says how far apart they come to lie. A service that restarts meanwhile is
    waited for. Raises `Refused`, or `Unreachable` when it stays away.
    """
    path = f"/v1/jobs/{job['id']}"
    pause = FIRST_LOOK_SECONDS
    headers: list[tuple[str, str]] = [("prefer", "wait=0")]
    holds = False
    while not job.get("done"):
        if not holds:
            sleep(pause)
        answer = _look(service, path, headers, sleep)
        if answer is None:  # nothing new
            continue
        job = _job(answer)
        saw(job)
        holds = "wait=" in answer.headers.get("preference-applied", "")
        if holds and (tag := answer.headers.get("etag")):
            headers = [("prefer", f"wait={WAIT_SECONDS}"), ("if-none-match", tag)]
        wish = answer.retry_after_seconds
        longest = LONGEST_PAUSE_SECONDS if wish is None else max(wish, FIRST_LOOK_SECONDS)
        pause = min(pause * LOOKS_GROW, longest, LONGEST_PAUSE_SECONDS)
    return job


def _look(
    service: Service, path: str, headers: Sequence[tuple[str, str]], sleep: Sleep
) -> Answer | None:
    """The job as it is; None: as it was."""
    try:
        return _patiently(lambda: service.call("GET", path, headers=headers), sleep)
    except Refused as error:
        if error.status == HTTPStatus.NOT_MODIFIED:
            return None
        raise


def result_of(service: Service, job: dict[str, Any], *, sleep: Sleep) -> bytes:
    """The result of a job that succeeded, as JSON, whatever its size."""
    return _patiently(lambda: service.call("GET", f"/v1/jobs/{job['id']}/result"), sleep).body


def follow(
    service: Service, query: Mapping[str, str], *, on: bool, sleep: Sleep
) -> Iterator[dict[str, Any]]:
    """Each page of the feed, from the query's cursor on; with `on` without end.

    Raises `Refused`, or `Unreachable` when the service stays away.
    """
    asked = dict(query)
    headers = [("prefer", f"wait={WAIT_SECONDS}")] if on else []
    while True:
        path = f"/v1/events?{urlencode(asked)}"
        page = _patiently(partial(service.call, "GET", path, headers=headers), sleep).json()
        if not isinstance(page, dict) or not isinstance(page.get("nextCursor"), str):
            raise Unreachable("the answer is no feed: is that the dispatcher? Check DISPATCHER_URL")
        yield page
        if not on and asked.get("cursor") == page["nextCursor"]:
            return
        asked["cursor"] = page["nextCursor"]


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
