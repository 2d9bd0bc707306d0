"""A submission, made and followed with patience: what `dispatcher submit` does on the wire."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from dispatcher.cli.calling import with_query
from dispatcher.client.answers import HELD_SECONDS, QUICK_SECONDS, UNCHANGED, Pace, Patience
from dispatcher.client.http import Answer, Refused, Service, Unreachable

_PATIENCE: Final = Patience()

Sleep = Callable[[float], None]


def submit_job(service: Service, body: bytes, key: str, *, sleep: Sleep) -> dict[str, Any]:
    """Submit, and answer the job as the service shows it: one, since all tries bear one key.

    Raises `Refused`, or `Unreachable` after the last try.
    """
    headers = (("idempotency-key", key),)
    return _job(
        _patiently(lambda: service.call("POST", "/v1/jobs", body=body, headers=headers), sleep)
    )


def wait_for_job(
    service: Service, job: dict[str, Any], *, sleep: Sleep, saw: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Look at the job until it is done; `saw` is given each look that shows something new.

    The service is asked to hold each answer until the job changes. Where it does not, the looks
    begin close together, for short jobs; for long ones its `Retry-After` says how far apart they
    come to lie. A service that restarts meanwhile is waited for. Raises `Refused`, or `Unreachable`
    when it stays away.
    """
    path = f"/v1/jobs/{job['id']}"
    headers: list[tuple[str, str]] = []
    pace = Pace()
    pause = pace.pause()
    while not job.get("done"):
        if pause:
            sleep(pause)
        began = time.monotonic()
        answer = _patiently(partial(service.call, "GET", path, headers=headers), sleep)
        changed = answer.status != UNCHANGED
        if changed:
            job = _job(answer)
            saw(job)
            headers = [("prefer", f"wait={HELD_SECONDS}")]
            if tag := answer.headers.get("etag"):
                headers.append(("if-none-match", tag))
        if answer.waited and (changed or time.monotonic() - began >= QUICK_SECONDS):
            pace.again()
            pause = 0.0
        else:
            pause = pace.pause(None if answer.waited else answer.retry_after_seconds)
    return job


def result_of(service: Service, job: dict[str, Any], *, sleep: Sleep) -> bytes:
    """The result of a job that succeeded, as JSON, whatever its size."""
    return _patiently(lambda: service.call("GET", f"/v1/jobs/{job['id']}/result"), sleep).body


def follow(
    service: Service, query: Mapping[str, str | None], *, on: bool, sleep: Sleep
) -> Iterator[dict[str, Any]]:
    """Each page of the feed, from the query's cursor on; with `on` without end.

    Raises `Refused`, or `Unreachable` when the service stays away.
    """
    asked = dict(query)
    headers = [("prefer", f"wait={HELD_SECONDS}")] if on else []
    while True:
        path = with_query("/v1/events", asked)
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
    """What the service answers at last, tried as often and as far apart as `Client` does."""
    failed = 0
    while True:
        wish = None
        try:
            return call()
        except Unreachable as error:
            told: Refused | Unreachable = error
        except Refused as error:
            if not error.again:
                raise
            told, wish = error, error.retry_after_seconds
        failed += 1
        pause = _PATIENCE.pause(failed, wish, random.random())  # noqa: S311  # jitter: nobody gains by guessing it
        if pause is None:
            raise told
        print(f"dispatcher: {told}; trying again", file=sys.stderr)
        sleep(pause)
