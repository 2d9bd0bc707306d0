"""The store on PostgreSQL: what the port asks, handed to the batchers and the readers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg

from dispatcher.adapters.postgres import callers, claiming, grants, holders, reading, sending
from dispatcher.adapters.postgres.adding import add_jobs
from dispatcher.adapters.postgres.applying import apply
from dispatcher.adapters.postgres.backlog import backlog
from dispatcher.adapters.postgres.batching import Batcher
from dispatcher.adapters.postgres.connection import Address, Connector, Patience, let_go
from dispatcher.adapters.postgres.locking import DeliveryChange
from dispatcher.adapters.postgres.overdue import Pruning, sweep
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.adapters.postgres.session import InjectedNow, Session
from dispatcher.adapters.postgres.transacting import Transactor
from dispatcher.core.changes import Change
from dispatcher.core.errors import StoreError
from dispatcher.core.model import ApiKey, Caller, Event, Instant, Job, JobType, ServiceKey
from dispatcher.ports.observer import CommitTold, tell_nobody
from dispatcher.ports.records import (
    DEAD_KEPT_SECONDS,
    Addition,
    AddResult,
    ApplyResult,
    Backlog,
    CallerPage,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    DeliveryTerms,
    HeldJob,
    JobClaim,
    JobFilter,
    JobPage,
    JobRecord,
    NewJob,
    Overdue,
)
from dispatcher.ports.store import Heart
from dispatcher.ports.system import Ids


class PostgresStore:
    """Implements `dispatcher.ports.store.Store` on a PostgreSQL database, beside other processes.

    What is written is batched by kind: jobs that come, changes of jobs, changes of deliveries,
    claims, and the rest. A wait that is cancelled does not cancel the work.
    """

    def __init__(
        self,
        url: str,
        *,
        ids: Ids,
        links_base: str = "",
        dead_kept_seconds: float = DEAD_KEPT_SECONDS,
        migrate: bool = False,
        writers: int = 1,
        readers: int = 4,
        patience: Patience | None = None,
        injected_now: InjectedNow = None,
        on_commit: CommitTold = tell_nobody,
    ) -> None:
        """Make a store; `open` it before use, on the event loop that will use it.

        Args:
            url: `postgresql://user:password@host:port/database`; with `?pgbouncer=true` if a pooler
                of transactions stands between.
            ids: for leases and deliveries.
            links_base: the public URL, which events keep.
            dead_kept_seconds: how long a dead delivery keeps its job.
            migrate: whether `open` may bring a schema with data up to date.
            writers: how many connections write each of what is most: new jobs, changes of jobs,
                changes of deliveries.
            readers: how many connections read.
            patience: how long what is waited for may take.
            injected_now: tells the time in tests; else PostgreSQL's own clock decides.
            on_commit: told of each commit, on the event loop.
        """
        self._address = Address.parse(url)
        self._connector = Connector(self._address, patience or Patience())
        self._ids = ids
        self._links_base = links_base
        self._migrate = migrate
        self._injected = injected_now
        self._on_commit = on_commit
        self._adds = self._batcher(writers)
        self._job_changes = self._batcher(writers)
        self._delivery_changes = self._batcher(writers)
        self._job_claims = self._batcher(1)
        self._delivery_claims = self._batcher(1)
        self._rest = self._batcher(1)
        self._readers = Readers(self._connector, self._session, readers)
        self._pulse = holders.Pulse(self._connector, injected_now)
        self._pruning = Pruning(dead_kept_seconds)

    def _batcher(self, workers: int) -> Batcher:
        transactors = [Transactor(self._connector, self._session) for _ in range(workers)]
        return Batcher(transactors, on_commit=self._on_commit)

    def _session(self, connection: asyncpg.Connection) -> Session:
        return Session(
            connection, injected=self._injected, ids=self._ids, links_base=self._links_base
        )

    def _batchers(self) -> tuple[Batcher, ...]:
        return (
            self._adds,
            self._job_changes,
            self._delivery_changes,
            self._job_claims,
            self._delivery_claims,
            self._rest,
        )

    # --- opening and closing -------------------------------------------------------------------

    async def open(self) -> None:
        """Make the schema in an empty database, or check it, and begin to serve.

        Raises `StoreError`; `SchemaMismatch` if the schema is another version's.
        """
        connection = await self._connector.connect()
        try:
            await prepare(connection, self._address, migrate=self._migrate)
        except StoreError:
            raise
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self._connector.failure(error) from error
        finally:
            await let_go(connection)
        for batcher in self._batchers():
            batcher.start()

    async def close(self) -> None:
        """Finish what was asked, then let go of every connection."""
        await asyncio.gather(*(batcher.close() for batcher in self._batchers()))
        await self._readers.close()
        await asyncio.to_thread(self._pulse.close)

    async def check(self) -> None:
        """Write and read once. Raises `StoreError`."""
        await self._rest.one(callers.write_check, None)
        await self._readers.ask(callers.read_check)

    # --- jobs and deliveries -------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[AddResult | Exception]:
        """See `JobStore.add_jobs`."""
        return await self._adds.each(add_jobs, jobs) if jobs else []

    async def claim_jobs(self, claim: JobClaim) -> ClaimedJobs:
        """See `JobStore.claim_jobs`."""
        return await claiming.claim_jobs(self._job_claims, claim)

    async def claim_deliveries(self, limit: int, terms: DeliveryTerms) -> ClaimedDeliveries:
        """See `JobStore.claim_deliveries`."""
        return await sending.claim_deliveries(self._delivery_claims, limit, terms)

    async def apply(
        self, changes: Sequence[Change], terms: DeliveryTerms
    ) -> list[ApplyResult | Exception]:
        """See `JobStore.apply`."""
        if not changes:
            return []
        deliveries = isinstance(changes[0], DeliveryChange)
        batcher = self._delivery_changes if deliveries else self._job_changes
        return await batcher.each_by(apply, changes, terms)

    async def sweep(self, limit: int) -> Overdue:
        """See `JobStore.sweep`."""
        return await self._readers.ask(sweep, limit)

    async def held_jobs(self, holder_id: str) -> list[HeldJob]:
        """See `JobStore.held_jobs`."""
        return await self._readers.ask(reading.held_jobs, holder_id)

    async def prune(self, limit: int) -> int:
        """See `JobStore.prune`."""
        return await self._rest.one(self._pruning.prune, limit)

    # --- reading -------------------------------------------------------------------------------

    async def get_job(
        self, job_id: str, caller_id: str | None, *, with_input: bool = False
    ) -> JobRecord | None:
        """See `JobReader.get_job`."""
        return await self._readers.ask(reading.get_job, job_id, caller_id, with_input=with_input)

    async def get_result(
        self, job_id: str, caller_id: str | None
    ) -> tuple[Job, bytes | None] | None:
        """See `JobReader.get_result`."""
        return await self._readers.ask(reading.get_result, job_id, caller_id)

    async def list_jobs(self, wanted: JobFilter, *, limit: int, before: int | None) -> JobPage:
        """See `JobReader.list_jobs`."""
        return await self._readers.ask(reading.list_jobs, wanted, limit=limit, before=before)

    async def list_deliveries(
        self, wanted: DeliveryFilter, *, limit: int, before: int | None
    ) -> DeliveryPage:
        """See `JobReader.list_deliveries`."""
        return await self._readers.ask(reading.list_deliveries, wanted, limit=limit, before=before)

    async def get_delivery(self, delivery_id: str, caller_id: str | None) -> DeliveryRecord | None:
        """See `JobReader.get_delivery`."""
        return await self._readers.ask(reading.get_delivery, delivery_id, caller_id)

    async def list_events(
        self, job_id: str, caller_id: str | None, *, limit: int, after: int
    ) -> tuple[Job, tuple[tuple[Event, bytes | None], ...]] | None:
        """See `JobReader.list_events`."""
        return await self._readers.ask(
            reading.list_events, job_id, caller_id, limit=limit, after=after
        )

    async def backlog(self, most: int) -> Backlog:
        """See `BacklogReader.backlog`."""
        return await self._readers.ask(backlog, most)

    # --- holders -------------------------------------------------------------------------------

    def heart(self, holder_id: str, name: str, lease_seconds: float) -> Heart:
        """See `Store.heart`."""
        return holders.PostgresHeart(self._pulse, holder_id, name, lease_seconds)

    async def release_holder(self, holder_id: str) -> None:
        """See `Store.release_holder`."""
        await self._rest.one(holders.release_holders, holder_id)

    async def end_other_leases(self, holder_id: str) -> None:
        """See `Store.end_other_leases`."""
        await self._rest.one(holders.end_other_leases, holder_id)

    # --- callers and types ---------------------------------------------------------------------

    async def add_caller(self, caller: Caller, key: ApiKey, digest: bytes, sealed: bytes) -> bool:
        """See `CallerStore.add_caller`."""
        new = callers.NewCaller(caller, key, digest, sealed)
        return await self._rest.one(callers.add_callers, new)

    async def find_key(self, digest: bytes) -> tuple[ApiKey, Caller] | None:
        """See `CallerStore.find_key`."""
        return await self._readers.ask(callers.find_key, digest)

    async def find_caller(self, name_or_id: str) -> Caller | None:
        """See `CallerStore.find_caller`."""
        return await self._readers.ask(callers.find_caller, name_or_id)

    async def sealed_secrets(self, caller_id: str) -> list[bytes]:
        """See `CallerStore.sealed_secrets`."""
        return await self._readers.ask(callers.sealed_secrets, caller_id)

    async def list_callers(self, *, limit: int, before: int | None) -> CallerPage:
        """See `CallerStore.list_callers`."""
        return await self._readers.ask(grants.list_callers, limit=limit, before=before)

    async def add_key(self, key: ApiKey, digest: bytes) -> Addition:
        """See `CallerStore.add_key`."""
        return await self._rest.one(grants.add_keys, grants.NewKey(key, digest))

    async def revoke_key(self, caller_id: str, key_id: str) -> bool:
        """See `CallerStore.revoke_key`."""
        return await self._rest.one(grants.revoke_keys, (caller_id, key_id))

    async def rotate_secret(
        self, caller_id: str, sealed: bytes, created_at: Instant, *, overlap_seconds: float
    ) -> Addition:
        """See `CallerStore.rotate_secret`."""
        new = grants.NewSecret(caller_id, sealed, created_at, overlap_seconds)
        return await self._rest.one(grants.rotate_secrets, new)

    async def service_keys(self) -> list[tuple[ServiceKey, bytes]]:
        """See `ServiceKeyStore.service_keys`."""
        return await self._readers.ask(grants.service_keys)

    async def add_service_key(self, key: ServiceKey, sealed: bytes) -> bool:
        """See `ServiceKeyStore.add_service_key`."""
        new = grants.NewServiceKey(key, sealed, None)
        return await self._rest.one(grants.add_service_keys, new)

    async def rotate_service_key(
        self, key: ServiceKey, sealed: bytes, *, overlap_seconds: float
    ) -> bool:
        """See `ServiceKeyStore.rotate_service_key`."""
        new = grants.NewServiceKey(key, sealed, overlap_seconds)
        return await self._rest.one(grants.add_service_keys, new)

    async def put_types(self, types: Sequence[JobType]) -> None:
        """See `Store.put_types`."""
        for answer in await self._rest.each(callers.put_types, types) if types else ():
            if answer is not None:
                raise answer

    async def list_types(self) -> list[JobType]:
        """See `Store.list_types`."""
        return await self._readers.ask(callers.list_types)

    async def key_check(self, token: bytes | None) -> bytes | None:
        """See `Store.key_check`."""
        if token is None:
            return await self._readers.ask(callers.find_key_check)
        return await self._rest.one(callers.keep_key_check, token)
