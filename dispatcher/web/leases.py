"""`/v1/leases`: remote workers, which lease jobs over HTTP and say what came of them."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from aiohttp import web
from msgspec import Raw

from dispatcher.core.changes import LeasedJob
from dispatcher.core.errors import FieldError, InvalidFields, LeaseEnded, NotFound
from dispatcher.core.model import Job, Progress
from dispatcher.core.outcome import AttemptFailed, Failed
from dispatcher.core.payload import encode, job_json, rfc3339
from dispatcher.engine.leases import RemoteWork
from dispatcher.engine.report import too_large
from dispatcher.ports.records import RemoteTerms
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_as
from dispatcher.web.holding import REST_SECONDS, Holding
from dispatcher.web.queries import read_query
from dispatcher.web.schemas import Schemas
from dispatcher.web.services import Services
from dispatcher.web.wire import (
    CompleteBody,
    FailBody,
    HeartbeatBody,
    LeasesBody,
    SnoozeBody,
)

LEASE_SECONDS: Final = 60.0
"""How long a lease lasts, unless the worker asks for another time."""

_LEASE_ID: Final = re.compile("lse_[0-9a-f]{32}")
_JSON: Final = {"Content-Type": "application/json"}

Body = TypeVar("Body", LeasesBody, HeartbeatBody, CompleteBody, FailBody, SnoozeBody)


class Leases:
    """The handlers of `/v1/leases`."""

    def __init__(self, services: Services, remote: RemoteWork) -> None:
        self._remote = remote
        self._catalog = services.catalog
        self._clock = services.clock
        self._limits = services.limits
        self._public_url = services.public_url
        self._holding = Holding(services.waiters, services.clock)
        self._schemas = Schemas()

    async def lease(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/leases`: 200 with what there is to do; with `Prefer: wait=N` it may wait.

        Without a place to wait it rests as others do, so that a worker does not ask without end.
        """
        read_query(request)
        asked = await self._read(request, LeasesBody)
        faults = [
            fault for at, name in enumerate(asked.types) for fault in self._check_type(at, name)
        ]
        if faults:
            raise InvalidFields(tuple(faults))
        seconds = LEASE_SECONDS if asked.lease_seconds is None else asked.lease_seconds
        with self._holding.wishes(request, who.caller.id) as wishes:
            leased = await self._remote.lease(
                list(dict.fromkeys(asked.types)),
                asked.limit or 1,
                RemoteTerms(who.caller.id, seconds),
                wait_seconds=REST_SECONDS if wishes.no_place else wishes.wait or 0,
            )
        headers = dict(_JSON)
        if applied := wishes.applied():
            headers["Preference-Applied"] = applied
        body = encode({"leases": [self._shown(each) for each in leased]})
        return web.Response(body=body, headers=headers)

    async def heartbeat(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/leases/{id}/heartbeat`: 200, until when the lease lasts now."""
        read_query(request)
        lease = _lease_id(request)
        asked = HeartbeatBody()
        if request.body_exists:
            asked = await self._read(request, HeartbeatBody)
        told, output = asked.progress, bytes(asked.output)
        if len(output) > self._limits.output_bytes:
            detail = too_large(len(output), self._limits.output_bytes)
            raise InvalidFields((FieldError("/output", "too-large", detail),))
        renewed = await self._remote.heartbeat(
            lease,
            who.caller.id,
            progress=None if told is None else _progress(told.current, told.total, told.message),
            output=output or None,
        )
        members = {
            "expiresAt": rfc3339(renewed.until),
            "cancelRequested": renewed.cancel_requested,
        }
        return web.Response(body=encode(members), headers=_JSON)

    async def complete(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/leases/{id}/complete`: 200, the job has its result. Again: 200."""
        read_query(request)
        lease = _lease_id(request)
        result = bytes((await self._read(request, CompleteBody)).result)
        found = await self._remote.find(lease, who.caller.id)
        kind = self._catalog.get(found.job.type)
        most = self._remote.most_bytes(found.job.type)
        if most is not None and len(result) > most:
            told = f"A result of this type has at most {most} bytes."
            raise InvalidFields((FieldError("/result", "too-large", told),))
        if kind is not None and (faults := self._schemas.find_result_faults(kind, result)):
            raise InvalidFields(tuple(faults))
        await self._remote.complete(lease, who.caller.id, result)
        return await self._ended(lease, who)

    async def fail(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/leases/{id}/fail`: 200, the job has failed or is tried again. Again: 200."""
        read_query(request)
        lease = _lease_id(request)
        asked = await self._read(request, FailBody)
        code, detail = asked.error.code, asked.error.detail
        if not asked.retriable:
            if asked.retry_after_seconds is not None:
                at = "/retryAfterSeconds"
                raise InvalidFields((FieldError(at, "conflict", "It needs retriable: true."),))
            outcome: Failed | AttemptFailed = Failed(code, detail)
        else:
            outcome = AttemptFailed(code, detail, asked.retry_after_seconds)
        await self._remote.fail(lease, who.caller.id, outcome)
        return await self._ended(lease, who)

    async def snooze(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/leases/{id}/snooze`: 200, the job runs again later, its attempt given back."""
        read_query(request)
        lease = _lease_id(request)
        asked = await self._read(request, SnoozeBody)
        await self._remote.snooze(lease, who.caller.id, asked.seconds)
        return await self._ended(lease, who)

    async def _ended(self, lease: str, who: Identity) -> web.Response:
        """The job as it stands after its lease was ended; nothing if it is erased already."""
        try:
            job = (await self._remote.find(lease, who.caller.id)).job
        except LeaseEnded:
            return web.Response(body=b"{}", headers=_JSON)
        return web.Response(body=encode({"job": self._job(job)}), headers=_JSON)

    def _check_type(self, at: int, name: str) -> list[FieldError]:
        if name in self._remote.types:
            return []
        where = f"/types/{at}"
        if self._catalog.get(name) is None:
            there = ", ".join(sorted(self._remote.types)) or "none"
            return [FieldError(where, "unknown-type", f"Remote workers do: {there}.")]
        return [FieldError(where, "not-remote", 'The runner of this type is not "remote".')]

    def _shown(self, leased: LeasedJob) -> dict[str, Any]:
        return {
            "id": leased.lease,
            "job": self._job(leased.job),
            "input": Raw(leased.input),
            "attempt": leased.job.attempt_count,
            "expiresAt": rfc3339(leased.until),
        }

    def _job(self, job: Job) -> dict[str, Any]:
        return job_json(job, self._public_url, self._clock.now(), None)

    async def _read(self, request: web.Request, kind: type[Body]) -> Body:
        return await read_as(request, self._limits, kind)


def _progress(current: float, total: float | None, message: str | None) -> Progress:
    return Progress(_whole(current), None if total is None else _whole(total), message)


def _whole(number: float) -> int | float:
    """3.0 as 3, as it most often came."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _lease_id(request: web.Request) -> str:
    lease = request.match_info["id"]
    if not _LEASE_ID.fullmatch(lease):
        raise NotFound("lease", lease[:100])
    return lease
