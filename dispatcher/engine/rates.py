"""How often each caller may submit, counted in this process."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from dispatcher.core.facts import SubmissionRefused
from dispatcher.core.model import Caller
from dispatcher.core.quotas import RATE, CallerLimits
from dispatcher.core.ratelimit import Bucket, Standing, take
from dispatcher.ports.observer import Observer
from dispatcher.ports.system import Clock

_KEPT_CALLERS: Final = 10_000


class Rates:
    """A bucket for each caller whose submissions have a rate.

    One process counts exactly. A restart begins with full buckets, which is as if the window had
    begun anew; so does a rate that is changed.
    """

    def __init__(self, limits: CallerLimits, clock: Clock, observer: Observer) -> None:
        """`limits` hold for callers of whom nothing else is set."""
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, caller: Caller) -> Standing | None:
        """Count one submission; None: the caller has no rate."""
        rate = caller.terms.limits.rate or self._limits.rate
        if rate is None:
            return None
        now = int(self._clock.monotonic() * 1000)
        bucket, standing = take(rate, self._buckets.get(caller.id), now)
        if bucket is not None and standing.taken:
            self._keep(caller.id, bucket, now)
        if not standing.taken:
            self._observer.saw(SubmissionRefused(caller.id, RATE))
        return standing

    def _keep(self, caller_id: str, bucket: Bucket, now: int) -> None:
        """Those that are full are as good as none; of too many the one unused longest goes."""
        self._buckets[caller_id] = bucket
        self._buckets.move_to_end(caller_id)
        while len(self._buckets) > 1:
            first = next(iter(self._buckets))
            if len(self._buckets) <= _KEPT_CALLERS and not self._buckets[first].is_full(now):
                break
            del self._buckets[first]
