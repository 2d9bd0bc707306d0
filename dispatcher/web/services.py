"""What the HTTP edge is made of: handed in by `compose`, or by a test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from dispatcher.core.addresses import Policy
from dispatcher.core.audit import Actor
from dispatcher.core.limits import Limits
from dispatcher.core.model import Caller, Job, Submission
from dispatcher.engine.callers import Callers
from dispatcher.engine.catalog import Catalog
from dispatcher.engine.endpoints import Endpoints
from dispatcher.engine.estimates import Estimates
from dispatcher.engine.leases import RemoteWork
from dispatcher.engine.queues import Queues
from dispatcher.engine.rates import Rates
from dispatcher.engine.waiters import Waiters
from dispatcher.ports.audit import AuditStore
from dispatcher.ports.callers import CallerStore, ServiceKeyStore
from dispatcher.ports.endpoints import EndpointStore
from dispatcher.ports.observer import Observer
from dispatcher.ports.readers import DestinationReader, FeedReader, JobReader
from dispatcher.ports.records import Idempotency, Taken
from dispatcher.ports.system import Clock, Ids
from dispatcher.ports.vault import Vault
from dispatcher.ports.views import DeliveryRecord, DestinationRecord
from dispatcher.web.jwks import PublicKeys


class EdgeStore(
    JobReader,
    FeedReader,
    DestinationReader,
    CallerStore,
    ServiceKeyStore,
    EndpointStore,
    AuditStore,
    Protocol,
):
    """Of the store, what the edge asks by itself: reading, and who a key belongs to."""

    async def was_erased(self, id: str, caller_id: str | None) -> bool:  # noqa: A002  # the port's own word
        """See `ports.erasing.EraseStore.was_erased`."""
        ...


class Accepts(Protocol):
    """Takes submissions in: `engine.accept.Accept`."""

    async def submit(
        self, caller: Caller, submission: Submission, idempotency: Idempotency | None = None
    ) -> Taken:
        """Add the job durably.

        Raises `OverQuota`, `QueueFull`, `StoreUnavailable`, or `Stopping` during shutdown.
        """
        ...


class Cancels(Protocol):
    """Cancels jobs: `engine.accept.Cancel`."""

    async def cancel(self, job_id: str, caller_id: str | None, actor: Actor | None = None) -> Job:
        """Cancel, and give the job as it is now. Raises `NotFound`, `StoreUnavailable`."""
        ...


class Erases(Protocol):
    """Erases jobs: `engine.erase.Erase`."""

    async def erase(
        self,
        job_id: str,
        caller_id: str | None,
        actor: Actor | None = None,
        *,
        cancel_deliveries: bool = False,
    ) -> None:
        """Erase a job that is done.

        Raises `NotFound`, `JobNotDone`, `DeliveriesOpen`, `DeliveriesSending`, `StoreUnavailable`.
        """
        ...


class Redelivers(Protocol):
    """Begins new rounds: `engine.redeliver.Redeliver`."""

    async def redeliver(
        self, delivery_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        """Begin a round, and give the delivery as it is now.

        Raises `NotFound`, `DeliveryPending`, `StoreUnavailable`.
        """
        ...


class CancelsDeliveries(Protocol):
    """Cancels deliveries: `engine.redeliver.CancelDelivery`."""

    async def cancel(
        self, delivery_id: str, caller_id: str | None, actor: Actor | None = None
    ) -> DeliveryRecord:
        """Cancel, and give the delivery as it is now. Raises `NotFound`, `StoreUnavailable`."""
        ...


class SteersDestinations(Protocol):
    """Pauses and resumes destinations: `engine.destinations.Destinations`."""

    async def pause(self, destination_id: str, actor: Actor) -> DestinationRecord:
        """Pause, and give it as it is now. Raises `NotFound`, `StoreUnavailable`."""
        ...

    async def resume(self, destination_id: str, actor: Actor) -> DestinationRecord:
        """Resume, and give it as it is now. Raises `NotFound`, `StoreUnavailable`."""
        ...


class MetricsMade(Protocol):
    """The page of `/metrics`: `adapters.metrics.MetricsPage`."""

    @property
    def content_type(self) -> str:
        """Of the page."""
        ...

    async def make(self) -> bytes:
        """The page as it is now; never raises for a store that does not work."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DevMode:
    """`--dev`: a request without a key acts as `caller`, in every role.

    `secret` is the key that the caller's callbacks are signed with, as bytes.
    """

    caller: Caller
    secret: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Everything that the edge works with.

    - `public_keys` are shown to all; they must be told when others may have changed them.
    - `public_url` has no slash at its end; links begin with it.
    - `ready` returns if work can be taken now, else raises `StoreError` or `Stopping`.
    - `estimates` must be told of what happens, as an observer.
    - `queues` are steered at `/v1/queues`, `remote` workers served at `/v1/leases`. None: not here.
    - `stall_seconds` is how long a reader of a stream may take nothing before it is dropped.
    - `metrics` is shown at `/metrics`: to all if `metrics_open`, else to operators. None: nowhere.
      `metrics_apart`: the port is shared by processes that each have their own, so not there.
    """

    accept: Accepts
    cancel: Cancels
    erase: Erases
    redeliver: Redelivers
    cancel_delivery: CancelsDeliveries
    endpoints: Endpoints
    destinations: SteersDestinations
    callers: Callers
    rates: Rates
    store: EdgeStore
    catalog: Catalog
    vault: Vault
    public_keys: PublicKeys
    clock: Clock
    ids: Ids
    policy: Policy
    limits: Limits
    public_url: str
    waiters: Waiters
    observer: Observer
    ready: Callable[[], Awaitable[None]]
    dev: DevMode | None = None
    queues: Queues | None = None
    remote: RemoteWork | None = None
    metrics: MetricsMade | None = None
    metrics_open: bool = True
    metrics_apart: bool = False
    estimates: Estimates = field(default_factory=Estimates)
    stall_seconds: float = 20.0
