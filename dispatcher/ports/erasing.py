"""Erasing jobs, and knowing what was erased; see `ports/store.py` for the contract as a whole."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from dispatcher.core.audit import AuditEntry
from dispatcher.ports.records import DeliveryTerms

ERASED_KEPT_SECONDS: Final = 30 * 86_400.0
"""It is known this long that something was erased, unless the store is told otherwise."""


class Erasure(Enum):
    """What became of a job that was to be erased."""

    ERASED = "erased"
    """It is gone, now or before."""
    NO_JOB = "no job"
    """There is none such of that caller, as far as is known."""
    NOT_DONE = "not done"
    OWES = "owes"
    """It owes deliveries that have not ended: nothing was changed."""
    SENDING = "sending"
    """Its deliveries were canceled but for those being sent, which are asked to cancel."""


class EraseStore(Protocol):
    """Erasing."""

    async def erase_job(
        self,
        job_id: str,
        caller_id: str | None,
        terms: DeliveryTerms,
        *,
        cancel_deliveries: bool,
        entry: AuditEntry | None = None,
    ) -> Erasure:
        """Erase a job that is done with all that is its own: input, result, events, deliveries.

        One with pending or sending deliveries stays, unless `cancel_deliveries`: then the pending
        ones are canceled (as by `EndDelivery`), and it goes if none is being sent. What waited
        behind its deliveries, in order, goes on. `caller_id` None: anyone's. `entry` is written
        with what changed, if anything did: see `AuditStore`.
        """
        ...

    async def was_erased(self, id: str, caller_id: str | None) -> bool:  # noqa: A002  # the field's own word
        """Whether a job or a delivery of that id was erased, by `erase_job` or by `prune`.

        Known for `erased_kept_seconds`, and to its caller (None: anyone).
        """
        ...
