"""For the programs around the service: callers submit jobs with it, receivers verify callbacks.

    from dispatcher.client import Client

    async with Client() as client:
        job = await client.submit("report.generate", {"month": "2026-01"})
        report = await client.result(await client.wait(job))

`Client` and `SyncClient` are imported when they are first asked for, so that a receiver that only
verifies need not wait for aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from dispatcher.client.answers import Patience
from dispatcher.client.errors import (
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    JobNotDone,
    JobUnsuccessful,
    KeyReused,
    LimitExceeded,
    NotFound,
    Refused,
    ServiceFault,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
    WaitTimedOut,
)
from dispatcher.client.values import Job, JobEvent, JobFailure, JobProgress, Submission
from dispatcher.client.verify import ReceivedEvent, verify
from dispatcher.core.signature import VerificationError

if TYPE_CHECKING:  # at run time by __getattr__: see above
    from dispatcher.client.client import Client
    from dispatcher.client.feed import Feed
    from dispatcher.client.sync import SyncClient, SyncFeed

__all__ = [
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "Feed",
    "Forbidden",
    "Gone",
    "Invalid",
    "Job",
    "JobEvent",
    "JobFailure",
    "JobNotDone",
    "JobProgress",
    "JobUnsuccessful",
    "KeyReused",
    "LimitExceeded",
    "NotFound",
    "Patience",
    "ReceivedEvent",
    "Refused",
    "ServiceFault",
    "Submission",
    "SyncClient",
    "SyncFeed",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "VerificationError",
    "WaitTimedOut",
    "verify",
]

_LATER: Final = {
    "Client": "dispatcher.client.client",
    "Feed": "dispatcher.client.feed",
    "SyncClient": "dispatcher.client.sync",
    "SyncFeed": "dispatcher.client.sync",
}


def __getattr__(name: str) -> Any:
    """What needs aiohttp, when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found
