"""A feed as its readers see it: followed through all troubles, read again at the end, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

TERMINAL: Final = frozenset({"job.succeeded", "job.failed", "job.canceled", "job.expired"})


class Feed:
    """What one reader has read, from the beginning."""

    def __init__(self) -> None:
        self.cursor = ""
        self.events: list[dict[str, Any]] = []
        self.gaps = 0

    @property
    def path(self) -> str:
        """Where to read on."""
        return "/v1/events?limit=100" + (f"&cursor={self.cursor}" if self.cursor else "")

    def read(self, page: Mapping[str, Any]) -> bool:
        """Take a page; whether there was anything in it."""
        self.gaps += page["gap"]
        self.events += page["items"]
        self.cursor = page["nextCursor"]
        return bool(page["items"])


def faults_of(followed: Feed, again: Feed, jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with a feed that was followed, and was read `again` when all had ended.

    Both readers must have seen the same events in the same order, each once, none left out: of each
    job in `jobs` (by id) the numbers 1, 2, 3, …, and its end as the last.
    """
    faults = [
        f"the feed told {reader} of a gap {feed.gaps} times: nothing was erased"
        for reader, feed in (("its follower", followed), ("its second reader", again))
        if feed.gaps
    ]
    seen, kept = _ids(followed), _ids(again)
    faults += [f"the feed has {id_} {count} times" for id_, count in kept.items() if count > 1]
    faults += [f"{id_} came {count} times" for id_, count in seen.items() if count > 1]
    faults += [f"the feed has {id_}, and passed its follower by" for id_ in kept if id_ not in seen]
    faults += [f"{id_} was in the feed once, and is not now" for id_ in seen if id_ not in kept]
    if not faults and list(seen) != list(kept):
        faults.append("the feed's events have another order than when they were followed")
    by_job: dict[str, list[dict[str, Any]]] = {}
    for event in again.events:
        if event["sequence"] is not None:
            by_job.setdefault(event["data"]["id"], []).append(event)
    for job_id, job in jobs.items():
        faults += _faults_of_job(job_id, str(job["status"]), by_job.get(job_id, []))
    return faults


def _ids(feed: Feed) -> Counter[str]:
    return Counter(event["id"] for event in feed.events)


def _faults_of_job(job_id: str, status: str, events: Sequence[Mapping[str, Any]]) -> list[str]:
    numbers = [event["sequence"] for event in events]
    faults = []
    if numbers != list(range(1, len(numbers) + 1)):
        faults.append(f"{job_id}: its events in the feed are {numbers}")
    ends = [event["type"] for event in events if event["type"] in TERMINAL]
    if ends != [f"job.{status}"] or events[-1]["type"] not in TERMINAL:
        faults.append(f"{job_id} is {status}, and its ends in the feed are {ends}")
    return faults
