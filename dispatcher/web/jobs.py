"""`/v1/jobs`: submitting, reading, canceling, and what belongs to a job."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any, Final

from aiohttp import web
from msgspec import structs

from dispatcher.core.errors import (
    IdempotencyKeyReused,
    JobUnsuccessful,
    NotFound,
    Overloaded,
)
from dispatcher.core.model import Caller, JobState
from dispatcher.core.payload import encode, event_json
from dispatcher.ports.records import Added, Idempotency, KeyReused, Replayed, Taken
from dispatcher.ports.views import DeliveryFilter, JobFilter, JobRecord
from dispatcher.web.auth import Identity, named_caller
from dispatcher.web.body import read_json, read_nothing
from dispatcher.web.headers import (
    matches_etag,
    parse_idempotency_key,
    parse_trace,
    wants_only_event_stream,
)
from dispatcher.web.parse import SubmissionParser
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_instant,
    read_limit,
    read_name,
    read_query,
    read_status,
    read_text,
)
from dispatcher.web.rates import count
from dispatcher.web.refusals import NotAcceptable, ResultGone, ResultNotYet
from dispatcher.web.services import Services
from dispatcher.web.shown import (
    delivery_shown,
    etag,
    job_listed,
    job_shown,
    retry_after,
)

_JOB_ID: Final = re.compile("job_[0-9a-f]{32}")
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
        self._under_way: Counter[str] = Counter()
        self._parser = SubmissionParser(
            services.catalog,
            services.vault,
            services.clock,
            services.policy,
            services.limits,
        )

    async def submit(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/jobs`: 202 once the job is durably committed."""
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

    async def _submit(self, request: web.Request, who: Identity) -> web.Response:
        query = read_query(request, _NAMES_CALLER)
        headers = request.headers
        key = parse_idempotency_key(headers.getall("Idempotency-Key", ()), self._limits)
        trace = None
        if "traceparent" in headers:
            trace = parse_trace(headers.getall("traceparent"), headers.getall("tracestate", ()))
        new_trace = trace is None and "traceparent" in headers
        caller = await named_caller(self._store, who, read_caller_id(query))
        count(self._rates, request, caller)
        own = caller.terms.limits.body_bytes
        body = await read_json(request, self._limits, own)
        submission = self._parser.parse(body, caller.id, trace)
        if new_trace:
            submission = structs.replace(submission, new_trace=True)
        idempotency = None
        if key is not None:
            kept_ms = round(self._limits.idempotency_seconds * 1000)
            digest = hashlib.sha256(body).digest()
            idempotency = Idempotency(key, digest, self._clock.now() + kept_ms)
        result = await self._accept.submit(caller, submission, idempotency)
        return await self._accepted(result, caller)

    async def _accepted(self, result: Taken, caller: Caller) -> web.Response:
        match result:
            case KeyReused():
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used before with another body. Take a new key for a "
                    "new job, or repeat the body byte for byte."
                )
            case Replayed(job=job):
                record = await self._store.get_job(job.id, caller.id) or JobRecord(job)
                return self._job_response(record, 202, {"Idempotency-Replayed": "true"})
            case Added(job=job, leased=leased):
                record = JobRecord(job if leased is None else leased.job)
                return self._job_response(record, 202, {})

    async def get(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}`: the job, or 304 if it is as the caller knows it."""
        read_query(request)
        job_id = _job_id(request)
        record = await self._store.get_job(job_id, who.scope, with_input=True)
        if record is None:
            raise NotFound("job", job_id)
        now = self._clock.now()
        tag = etag(record, now)
        known = ",".join(request.headers.getall("If-None-Match", ()))
        if matches_etag(known, tag):
            unchanged = {"ETag": tag}
            estimated_at = self._estimates.finish_at(record.job, now)
            if (seconds := retry_after(record.job, now, estimated_at)) is not None:
                unchanged["Retry-After"] = seconds
            return web.Response(status=304, headers=unchanged)
        return self._job_response(record, 200, {})

    async def result(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}/result`: the result byte for byte, at any size."""
        read_query(request)
        job_id = _job_id(request)
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
        job_id = _job_id(request)
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
        job_id = _job_id(request)
        record = await self._store.get_job(job_id, who.scope)
        if record is None:
            raise NotFound("job", job_id)
        wanted = DeliveryFilter(caller_id=record.job.caller_id, job_id=job_id)
        found = await self._store.list_deliveries(wanted, limit=limit, before=before)
        items = [delivery_shown(each) for each in found.items]
        next_cursor = number_cursor("deliveries", found.next)
        return page(request, self._public_url, query, items, next_cursor)

    async def events(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/jobs/{id}/events`: the stored events as callbacks have them, oldest first."""
        if wants_only_event_stream(request.headers.get("Accept")):
            raise NotAcceptable("Events are a JSON list here: accept application/json.")
        query = read_query(request, PAGE)
        limit = read_limit(query, self._limits)
        after = read_cursor(query, "events") or 0
        job_id = _job_id(request)
        # One more than asked for tells whether the list goes on.
        found = await self._store.list_events(job_id, who.scope, limit=limit + 1, after=after)
        if found is None:
            raise NotFound("job", job_id)
        job, events = found
        items: list[dict[str, Any]] = [
            event_json(event, job, None, result=result) for event, result in events[:limit]
        ]
        last = events[limit - 1][0].sequence if len(events) > limit else None
        next_cursor = number_cursor("events", last)
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
            headers["Location"] = f"/v1/jobs/{record.job.id}"
        body = encode(job_shown(record, self._public_url, now, estimated_at))
        return web.Response(status=status, body=body, headers=headers)


def _job_id(request: web.Request) -> str:
    """The id in the path; one that can't be an id is no job's."""
    job_id = request.match_info["id"]
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound("job", job_id[:100])
    return job_id
