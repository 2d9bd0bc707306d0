"""`/v1/jobs`: submitting, reading, canceling, and what belongs to a job."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Final

from aiohttp import web
from msgspec import structs

from dispatcher.core.errors import (
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    JobUnsuccessful,
    NotFound,
    Overloaded,
)
from dispatcher.core.model import Caller, JobState
from dispatcher.core.payload import encode
from dispatcher.engine.waiters import Waiting
from dispatcher.ports.records import Added, Idempotency, KeyReused, KeySpent, Replayed, Taken
from dispatcher.ports.views import DeliveryFilter, JobFilter, JobRecord
from dispatcher.web.auth import Identity, named_caller
from dispatcher.web.body import read_json, read_nothing
from dispatcher.web.headers import (
    matches_etag,
    parse_idempotency_key,
    parse_trace,
)
from dispatcher.web.holding import Holding, Look, changes_in
from dispatcher.web.orders import ORDERS, Orders
from dispatcher.web.parse import SubmissionParser
from dispatcher.web.prefer import NO_WISHES, Wishes
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_instant,
    read_job_path,
    read_limit,
    read_name,
    read_query,
    read_status,
    read_text,
)
from dispatcher.web.rates import count
from dispatcher.web.refusals import ResultGone, ResultNotYet
from dispatcher.web.services import Services
from dispatcher.web.shown import (
    delivery_shown,
    etag,
    job_listed,
    job_shown,
    path_of,
    retry_after,
)

_NAMES_CALLER: Final = frozenset({"callerId"})
_LIST_PARAMETERS: Final = PAGE | {
    "status",
    "type",
    "queue",
    "correlationId",
    "createdAfter",
    "createdBefore",
    "callerId",
}
_JSON: Final = "application/json"


class Jobs:
    """The handlers of `/v1/jobs` and below."""

    def __init__(self, services: Services) -> None:
        self._accept = services.accept
        self._cancel = services.cancel
        self._rates = services.rates
        self._store = services.store
        self._clock = services.clock
        self._estimates = services.estimates
        self._limits = services.limits
        self._public_url = services.public_url
        self._path = path_of(services.public_url)
        self._waiters = services.waiters
        self._holding = Holding(services.waiters, services.clock)
        self._under_way: Counter[str] = Counter()
        self.orders = Orders(services)
        self._parser = SubmissionParser(
            services.catalog,
            services.vault,
            services.clock,
            services.policy,
            services.limits,
        )

    async def submit(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/jobs`: 202 once the job is durably committed; 200 if it ended in the wait."""
        caller, result = await self._take(request, who)
        return await self.accepted(request, who, result, caller)

    async def _take(self, request: web.Request, who: Identity) -> tuple[Caller, Taken]:
        """Take a submission in, within the room that there is for those under way."""
        at_once = self._limits.submissions_at_once
        own = self._under_way[who.caller.id]
        # A quarter for each caller at most: one who sends slowly must not keep the others out.
        if own >= max(at_once // 4, 1) or self._under_way.total() >= at_once:
            raise Overloaded("too many submissions are under way")
        self._under_way[who.caller.id] = own + 1
        try:
            return await self._submit(request, who)
        finally:
            self._under_way[who.caller.id] -= 1
            if not self._under_way[who.caller.id]:
                del self._under_way[who.caller.id]

    async def _submit(self, request: web.Request, who: Identity) -> tuple[Caller, Taken]:
        query = read_query(request, _NAMES_CALLER)
        headers = request.headers
        key = parse_idempotency_key(headers.getall("Idempotency-Key", ()), self._limits)
        trace = None
        if "traceparent" in headers:
            trace = parse_trace(headers.getall("traceparent"), headers.getall("tracestate", ()))
        new_trace = trace is None and "traceparent" in headers
        caller = await named_caller(self._store, who, read_caller_id(query))
        await count(self._rates, request, caller)
        own = caller.terms.limits.body_bytes
        body = await read_json(request, self._limits, own)
        submission = self._parser.parse(body, caller.id, trace)
        if new_trace:
            submission = structs.replace(submission, new_trace=True)
        kind, given = submission.type, submission.input
        told = None
        if kind in ORDERS:
            actor = who.acting(request)
            told = await self.orders.check(kind, given, caller.id, who, actor, key=key)
        idempotency = None
        if key is not None:
            kept_ms = round(self._limits.idempotency_seconds * 1000)
            digest = hashlib.sha256(body).digest()
            idempotency = Idempotency(key, digest, self._clock.now() + kept_ms)
        result = await self._accept.submit(caller, submission, idempotency)
        if told is not None:
            await self.orders.taken(told, result)
        return caller, result

    async def accepted(
        self, request: web.Request, who: Identity, result: Taken, caller: Caller
    ) -> web.Response:
        """The answer to what was submitted: 202 with the job, which may be one of before."""
        if "Prefer" not in request.headers:
            return await self._accepted(request, result, caller, NO_WISHES)
        with self._holding.wishes(request, who.caller.id) as wishes:
            return await self._accepted(request, result, caller, wishes)

    async def _accepted(
        self, request: web.Request, result: Taken, caller: Caller, wishes: Wishes
    ) -> web.Response:
        headers: dict[str, str] = {}
        match result:
            case KeyReused():
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used before with another body. Take a new key for a "
                    "new job, or repeat the body byte for byte."
                )
            case KeySpent():
                raise IdempotencyKeySpent(
                    "This Idempotency-Key was used before, by a job that has been erased since. "
                    "Take a new key if the work is to be done again."
                )
            case Replayed(job=job):
                headers["Idempotency-Replayed"] = "true"
                record = await self._store.get_job(job.id, caller.id) or JobRecord(job)
            case Added(job=job, leased=leased):
                record = JobRecord(job if leased is None else leased.job)
        if wishes.wait:
            found = await self._wait(request, record.job.id, caller.id, wishes)
            record = found or record
        done = bool(wishes.wait) and record.job.done
        if applied := wishes.applied(accepted=not done):
            headers["Preference-Applied"] = applied
        if done:
            headers["Content-Location"] = f"{self._path}/v1/jobs/{record.job.id}"
        return self._job_response(record, 200 if done else 202, headers)

    async def _wait(
        self,
        request: web.Request,
        job_id: str,
        scope: str | None,
        wishes: Wishes,
        known: str = "",
        *,
        with_input: bool = False,
    ) -> JobRecord | None:
        """The job, once it differs from the tags in `known` (without any, is done), or in time."""

        async def look(waiting: Waiting) -> Look[JobRecord | None]:
            record = await self._store.get_job(job_id, scope, with_input=with_input)
            if record is None:
                return Look(None, enough=True)
            now = self._clock.now()
            waiting.seen = record.job.version
            enough = not matches_etag(known, etag(record, now)) if known else record.job.done
            return Look(record, enough, changes_in(record, now))

        return await self._holding.hold(request, self._waiters.job(job_id), wishes, look)

    async def get(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}`: the job, or 304 if it is as the caller knows it. Can wait."""
        read_query(request)
        job_id = read_job_path(request)
        known = ",".join(request.headers.getall("If-None-Match", ())).strip()
        with self._holding.wishes(request, who.caller.id) as wishes:
            record = await self._wait(request, job_id, who.scope, wishes, known, with_input=True)
        if record is None:
            raise NotFound("job", job_id)
        now = self._clock.now()
        tag = etag(record, now)
        headers = {}
        if applied := wishes.applied():
            headers["Preference-Applied"] = applied
        if matches_etag(known, tag):
            headers["ETag"] = tag
            estimated_at = self._estimates.finish_at(record.job, now)
            if (seconds := retry_after(record.job, now, estimated_at)) is not None:
                headers["Retry-After"] = seconds
            return web.Response(status=304, headers=headers)
        return self._job_response(record, 200, headers)

    async def result(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}/result`: the result byte for byte, at any size."""
        read_query(request)
        job_id = read_job_path(request)
        found = await self._store.get_result(job_id, who.scope)
        if found is None:
            raise NotFound("job", job_id)
        job, result = found
        now = self._clock.now()
        if (seconds := retry_after(job, now, self._estimates.finish_at(job, now))) is not None:
            raise ResultNotYet(seconds)
        if job.state is not JobState.SUCCEEDED:
            error = None if job.error is None else structs.asdict(job.error)
            raise JobUnsuccessful(job.state, error)
        if result is None:
            raise ResultGone("The job succeeded, and its result is not kept any more.")
        return web.Response(body=result, headers={"Content-Type": _JSON})

    async def cancel(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/jobs/{id}/cancel`: 200 if it has ended, 202 while it is being stopped."""
        read_query(request)
        job_id = read_job_path(request)
        await read_nothing(request, self._limits)
        job = await self._cancel.cancel(job_id, who.scope, who.acting(request))
        record = await self._store.get_job(job_id, who.scope) or JobRecord(job)
        return self._job_response(record, 200 if record.job.done else 202, {})

    async def list(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs`: newest first, without inputs and results."""
        query = read_query(request, _LIST_PARAMETERS)
        limit = read_limit(query, self._limits)
        before = read_cursor(query, "jobs")
        caller_id = read_caller_id(query)
        wanted = JobFilter(
            caller_id=caller_id or who.scope,
            status=read_status(query),
            type=read_name(query, "type"),
            queue=read_name(query, "queue"),
            correlation_id=read_text(query, "correlationId", self._limits),
            created_after=read_instant(query, "createdAfter"),
            created_before=read_instant(query, "createdBefore"),
        )
        if not who.sees_all and wanted.caller_id != who.caller.id:
            return page(request, self._public_url, query, [], None)  # another's: nothing to see
        found = await self._store.list_jobs(wanted, limit=limit, before=before)
        now = self._clock.now()
        finish_at = self._estimates.finish_at
        items = [
            job_listed(each, self._public_url, now, finish_at(each.job, now))
            for each in found.items
        ]
        return page(request, self._public_url, query, items, number_cursor("jobs", found.next))

    async def deliveries(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}/deliveries`: newest first, each with its attempts."""
        query = read_query(request, PAGE)
        limit = read_limit(query, self._limits)
        before = read_cursor(query, "deliveries")
        job_id = read_job_path(request)
        record = await self._store.get_job(job_id, who.scope)
        if record is None:
            raise NotFound("job", job_id)
        wanted = DeliveryFilter(caller_id=record.job.caller_id, job_id=job_id)
        found = await self._store.list_deliveries(wanted, limit=limit, before=before)
        items = [delivery_shown(each) for each in found.items]
        next_cursor = number_cursor("deliveries", found.next)
        return page(request, self._public_url, query, items, next_cursor)

    def _job_response(
        self, record: JobRecord, status: int, headers: dict[str, str]
    ) -> web.Response:
        """A job, with what tells when to ask again; where it is, if it is new (202)."""
        now = self._clock.now()
        headers["Content-Type"] = _JSON
        headers["ETag"] = etag(record, now)
        estimated_at = self._estimates.finish_at(record.job, now)
        if (seconds := retry_after(record.job, now, estimated_at)) is not None:
            headers["Retry-After"] = seconds
        if status == 202:  # noqa: PLR2004  # RFC 9110, 15.3.3: point to a status monitor
            headers["Location"] = f"{self._path}/v1/jobs/{record.job.id}"
        body = encode(job_shown(record, self._public_url, now, estimated_at))
        return web.Response(status=status, body=body, headers=headers)
