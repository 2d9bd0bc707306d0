"""The asynchronous half of an HTTP API: accept jobs, do them, deliver signed callbacks.

Declare what your service does, and let `dispatcher serve FILE` serve it:

    from dispatcher import Dispatcher, Fail, JobContext

    app = Dispatcher()

    @app.job("report.generate", timeout=600, max_attempts=3, concurrency=8)
    async def generate(job: JobContext, request: ReportRequest) -> Report:
        await job.progress(3, total=10, message="rendering")
        return Report(...)  # or raise Fail("no-data", "..."), Retry(after=30), Snooze(60)

`Dispatcher` says what handlers may look like, `JobContext` what they can ask and tell.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from dispatcher.core.errors import Cancel, Fail, Retry, Snooze

if TYPE_CHECKING:  # at run time by __getattr__: who imports dispatcher.client alone needs neither
    from dispatcher.adapters.runners.context import JobContext
    from dispatcher.adapters.runners.declare import Dispatcher

__all__ = ["Cancel", "Dispatcher", "Fail", "JobContext", "Retry", "Snooze"]

_LATER: Final = {
    "Dispatcher": "dispatcher.adapters.runners.declare",
    "JobContext": "dispatcher.adapters.runners.context",
}


def __getattr__(name: str) -> Any:
    """What handlers are written with, when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found
