"""The store on PostgreSQL: what the port asks, handed to the batchers and the readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from dispatcher.adapters.postgres import catalog, checks, claiming, holders, reading, sending
from dispatcher.adapters.postgres.adding import add_jobs
from dispatcher.adapters.postgres.answers import Answers
from dispatcher.adapters.postgres.applying import apply, carried
from dispatcher.adapters.postgres.arriving import refuse_half_moved
from dispatcher.adapters.postgres.audit import AuditKept
from dispatcher.adapters.postgres.batching import REST_SECONDS, Batcher
from dispatcher.adapters.postgres.bulk import advance_bulk
from dispatcher.adapters.postgres.callers_kept import CallersKept
from dispatcher.adapters.postgres.clearing import Clearing
from dispatcher.adapters.postgres.connection import Address, Connector, Patience, let_go
from dispatcher.adapters.postgres.endpoints_kept import EndpointsKept
from dispatcher.adapters.postgres.erasing import Eraser
from dispatcher.adapters.postgres.errors import TROUBLE
from dispatcher.adapters.postgres.leases_kept import LeasesKept
from dispatcher.adapters.postgres.pauses_kept import PausesKept
from dispatcher.adapters.postgres.pruning import Pruning
from dispatcher.adapters.postgres.reader import Readers
from dispatcher.adapters.postgres.remembered import Remembered
from dispatcher.adapters.postgres.schema import prepare
from dispatcher.adapters.postgres.session import InjectedNow, Session
from dispatcher.adapters.postgres.sweeping import sweep
from dispatcher.adapters.postgres.tokens import TokensWanted, take_tokens
from dispatcher.adapters.postgres.transacting import Transactor
from dispatcher.adapters.postgres.turns import Turns
from dispatcher.core.audit import AuditEntry
from dispatcher.core.changes import Audited, Change
from dispatcher.core.errors import StoreError
from dispatcher.core.model import Instant, JobType
from dispatcher.core.ratelimit import Rate
from dispatcher.ports.asked import ErasedJob
from dispatcher.ports.audit import AUDIT_KEPT_SECONDS
from dispatcher.ports.bulk import BulkStep, BulkStepped
from dispatcher.ports.erasing import ERASED_KEPT_SECONDS, Erasure
from dispatcher.ports.observer import CommitTold, tell_nobody
from dispatcher.ports.records import (
    DEAD_KEPT_SECONDS,
    EVERYBODY,
    AddResult,
    ApplyResult,
    ClaimedDeliveries,
    ClaimedJobs,
    DeliveryTerms,
    HeldJob,
    JobClaim,
    NewJob,
    NoRoom,
    Overdue,
    Stale,
)
from dispatcher.ports.store import Heart
from dispatcher.ports.system import Ids
from dispatcher.ports.tokens import Grant


class PostgresStore(Answers, CallersKept, EndpointsKept, AuditKept, LeasesKept, PausesKept):
    """Implements `dispatcher.ports.store.Store` on a PostgreSQL database, beside other processes.

    What is written is batched by kind: jobs that come, changes of jobs and deliveries, claims, and
    the rest. A wait that is cancelled does not cancel the work.
    """

    def __init__(
        self,
        url: str,
        *,
        ids: Ids,
        links_base: str = "",
        dead_kept_seconds: float = DEAD_KEPT_SECONDS,
        audit_kept_seconds: float = AUDIT_KEPT_SECONDS,
        erased_kept_seconds: float = ERASED_KEPT_SECONDS,
        migrate: bool = False,
        connections: int = 12,
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
            audit_kept_seconds: how long an entry of the audit log is kept.
            erased_kept_seconds: how long it is known of what was erased that it was there.
            migrate: whether `open` may bring a schema with data up to date.
            connections: how many are opened at most, 9 or more: six write, one beats, the rest
                read.
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
        self._turns = Turns()
        self._remembered = Remembered()
        self._adds = self._batcher()
        self._changes = self._batcher(REST_SECONDS)
        self._job_claims = self._batcher()
        self._delivery_claims = self._batcher()
        self._rest = self._batcher()
        self._rates = self._batcher()
        readers = connections - len(self._batchers()) - 1
        self._readers = Readers(self._connector, self._session, max(readers, 2))
        self._pulse = holders.Pulse(self._connector, injected_now)
        self._eraser = Eraser(erased_kept_seconds)
        self._pruning = Pruning(dead_kept_seconds, audit_kept_seconds, self._eraser)
        self._clearing = Clearing(dead_kept_seconds, self._eraser)

    def _batcher(self, rest_seconds: float = 0.0) -> Batcher:
        return Batcher(
            Transactor(self._connector, self._session),
            on_commit=self._on_commit,
            rest_seconds=rest_seconds,
        )

    def _session(self, connection: asyncpg.Connection) -> Session:
        return Session(
            connection,
            injected=self._injected,
            ids=self._ids,
            turns=self._turns,
            remembered=self._remembered,
            links_base=self._links_base,
        )

    def _batchers(self) -> tuple[Batcher, ...]:
        return (
            self._adds,
            self._changes,
            self._job_claims,
            self._delivery_claims,
            self._rest,
            self._rates,
        )

    # --- opening and closing -------------------------------------------------------------------

    async def open(self) -> None:
        """Make the schema in an empty database, or check it, and begin to serve.

        Raises `StoreError`; `SchemaMismatch` if the schema is another version's.
        """
        connection = await self._connector.connect()
        try:
            await prepare(connection, self._address, migrate=self._migrate)
            await refuse_half_moved(connection, self._address)
        except StoreError:
            raise
        except TROUBLE as error:
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
        await self._rest.one(checks.write_check, None)
        await self._readers.ask(checks.read_check)

    # --- jobs and deliveries -------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[AddResult | Exception]:
        """See `JobStore.add_jobs`."""
        if not jobs:
            return []
        return await self._adds.each(add_jobs, jobs, sum(len(new.input) for new in jobs))

    async def claim_jobs(self, claim: JobClaim) -> ClaimedJobs:
        """See `JobStore.claim_jobs`."""
        return await claiming.claim_jobs(self._job_claims, claim)

    async def claim_deliveries(
        self, limit: int, terms: DeliveryTerms, room: Mapping[str, int] = EVERYBODY
    ) -> ClaimedDeliveries:
        """See `JobStore.claim_deliveries`."""
        claim = sending.DeliveryClaim(limit, terms, room)
        return await sending.claim_deliveries(self._delivery_claims, claim)

    async def apply(
        self, changes: Sequence[Change | Audited], terms: DeliveryTerms
    ) -> list[ApplyResult | Exception]:
        """See `JobStore.apply`."""
        if not changes:
            return []
        return await self._changes.each_by(apply, changes, terms, carried(changes))

    async def sweep(self, limit: int) -> Overdue:
        """See `JobStore.sweep`."""
        return await self._readers.ask(sweep, limit)

    async def held_jobs(self, holder_id: str) -> list[HeldJob]:
        """See `JobStore.held_jobs`."""
        return await self._readers.ask(reading.held_jobs, holder_id)

    async def prune(self, limit: int) -> int:
        """See `JobStore.prune`."""
        erased = await self._rest.one(self._pruning.prune, limit)
        return max(erased, await self._clearing.clear(self._rest, limit))

    async def advance_bulk(
        self, step: BulkStep, terms: DeliveryTerms
    ) -> BulkStepped | Stale | NoRoom:
        """See `BulkStore.advance_bulk`."""
        (answer,) = await self._rest.each_by(advance_bulk, (step,), terms)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def erase_job(
        self,
        job_id: str,
        caller_id: str | None,
        terms: DeliveryTerms,
        *,
        cancel_deliveries: bool,
        entry: AuditEntry | None = None,
    ) -> Erasure:
        """See `EraseStore.erase_job`."""
        wanted = ErasedJob(job_id, caller_id, terms, cancel_deliveries, entry)
        return await self._rest.one(self._eraser.erase_jobs, wanted)

    async def now(self) -> Instant:
        """See `Store.now`."""
        return await self._readers.ask(Session.look_at_clock)

    async def take_tokens(self, caller_id: str, rate: Rate, wanted: int) -> Grant:
        """See `TokenStore.take_tokens`."""
        return await self._rates.one(take_tokens, TokensWanted(caller_id, rate, wanted))

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

    # --- types and the encryption key -----------------------------------------------------------

    async def put_types(self, types: Sequence[JobType]) -> None:
        """See `Store.put_types`."""
        for answer in await self._rest.each(catalog.put_types, types) if types else ():
            if answer is not None:
                raise answer

    async def list_types(self) -> list[JobType]:
        """See `Store.list_types`."""
        return await self._readers.ask(catalog.list_types)

    async def key_check(self, token: bytes | None) -> bytes | None:
        """See `Store.key_check`."""
        if token is None:
            return await self._readers.ask(checks.find_key_check)
        return await self._rest.one(checks.keep_key_check, token)
