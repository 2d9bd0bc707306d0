"""The built-in type `dispatcher.echo`: to try things out, and to measure what all jobs cost."""

from __future__ import annotations

from typing import ClassVar, Final

from dispatcher.core.changes import LeasedJob
from dispatcher.core.model import JobType
from dispatcher.core.outcome import JobOutcome, Succeeded
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from dispatcher.ports.runner import RunReport

ECHO: Final = JobType(
    name="dispatcher.echo",
    runner="builtin",
    description="Gives its input back, whatever JSON it is, byte for byte.",
)


class EchoRunner:
    """Implements `ports.runner.Runner`: the result is the input, untouched."""

    NAME: ClassVar[str] = ECHO.name

    @property
    def type(self) -> JobType:
        """See `Runner.type`."""
        return ECHO

    @property
    def backoff(self) -> JobBackoff:
        """See `Runner.backoff`; an echo can only fail with its worker."""
        return DEFAULT_JOB_BACKOFF

    async def run(self, leased: LeasedJob, report: RunReport) -> JobOutcome:  # noqa: ARG002  # the protocol's
        """See `Runner.run`."""
        return Succeeded(leased.input)
