"""The built-in types of bulk operations: `dispatcher.redeliver`, `.replay` and `.cancel`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from dispatcher.core.bulk import BulkKind, BulkOrder, read_order, schema_of
from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import InvalidFields
from dispatcher.core.model import JobType
from dispatcher.core.outcome import AttemptFailed, Failed, JobOutcome
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from dispatcher.ports.runner import Runner, RunReport

QUEUE: Final = "dispatcher"
"""A queue of their own: a cancel must not wait behind the flood that it is to cancel."""

ATTEMPTS: Final = 25
"""Each crash of the service ends an attempt; what was done by then stays done."""

TIMEOUT_SECONDS: Final = 86_400.0

AT_ONCE: Final = 2

_SAYS: Final = {
    BulkKind.REDELIVER: "Begins a new round for each delivery of a selection that has ended.",
    BulkKind.REPLAY: "Submits each job of a selection that has ended once more.",
    BulkKind.CANCEL: "Cancels each job of a selection that has not ended.",
}


class BulkWork(Protocol):
    """Who carries them out: `engine.bulk.Bulk`."""

    async def run(self, order: BulkOrder, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """Do what is ordered, from where the job's last attempt ended."""
        ...


class BulkRunner:
    """Implements `ports.runner.Runner` for one kind. `work` is set before the first job runs."""

    def __init__(self, kind: BulkKind) -> None:
        self._kind = kind
        self._type = JobType(
            name=kind.value,
            runner="builtin",
            description=_SAYS[kind],
            queue=QUEUE,
            timeout_seconds=TIMEOUT_SECONDS,
            max_attempts=ATTEMPTS,
            concurrency=AT_ONCE,
            schema=schema_of(kind),
        )
        self.work: BulkWork | None = None

    @property
    def type(self) -> JobType:
        """See `Runner.type`."""
        return self._type

    @property
    def backoff(self) -> JobBackoff:
        """See `Runner.backoff`."""
        return DEFAULT_JOB_BACKOFF

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:
        """See `Runner.run`."""
        try:
            order = read_order(self._kind, leased.input)
        except InvalidFields as error:
            return Failed("bad-input", str(error))
        if self.work is None:
            return AttemptFailed("not-started", "The service has not started yet.")
        return await self.work.run(order, leased, report)


def serve_bulk(runners: Iterable[Runner], work: BulkWork) -> None:
    """Have those of the runners that are bulk operations carried out by `work`."""
    for runner in runners:
        if isinstance(runner, BulkRunner):
            runner.work = work
