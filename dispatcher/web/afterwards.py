"""What is done about a job afterwards: `POST /v1/jobs/{id}/replay`, `DELETE /v1/jobs/{id}`."""

from __future__ import annotations

import hashlib
from typing import Final

from aiohttp import web

from dispatcher.core.errors import FieldError, InvalidFields, NotFound
from dispatcher.core.replay import submission_of
from dispatcher.ports.records import Idempotency
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_nothing
from dispatcher.web.headers import parse_idempotency_key
from dispatcher.web.jobs import Jobs
from dispatcher.web.queries import read_flag, read_job_path, read_query
from dispatcher.web.rates import count
from dispatcher.web.schemas import Schemas
from dispatcher.web.services import Services

_DELETE_PARAMETERS: Final = frozenset({"cancelDeliveries"})


class Afterwards:
    """The handlers. `jobs` answers a replay as it answers a submission."""

    def __init__(self, services: Services, jobs: Jobs) -> None:
        self._jobs = jobs
        self._accept = services.accept
        self._erase = services.erase
        self._store = services.store
        self._rates = services.rates
        self._catalog = services.catalog
        self._clock = services.clock
        self._limits = services.limits
        self._schemas = Schemas()

    async def replay(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/jobs/{id}/replay`: 202, a new job of the same caller with the same submission.

        The input is validated again: its type may have changed since.
        """
        read_query(request)
        job_id = read_job_path(request)
        key = parse_idempotency_key(request.headers.getall("Idempotency-Key", ()), self._limits)
        await read_nothing(request, self._limits)
        found = await self._store.get_input(job_id, who.scope)
        caller = None if found is None else await self._store.find_caller(found[0].caller_id)
        if found is None or caller is None:
            raise NotFound("job", job_id)
        job, body = found
        await count(self._rates, request, caller)
        self._check(job.type, body)
        orders, actor = self._jobs.orders, who.acting(request)
        told = await orders.check(job.type, body, job.caller_id, who, actor, key=key)
        now = self._clock.now()
        idempotency = None
        if key is not None:
            kept_ms = round(self._limits.idempotency_seconds * 1000)
            digest = hashlib.sha256(f"replay {job_id}".encode()).digest()
            idempotency = Idempotency(key, digest, now + kept_ms)
        again = submission_of(job, body, now=now)
        result = await self._accept.submit(caller, again, idempotency)
        await orders.taken(told, result)
        return await self._jobs.accepted(request, who, result, caller)

    def _check(self, type_: str, body: bytes) -> None:
        kind = self._catalog.get(type_)
        if kind is None:
            fault = FieldError("/type", "unknown-type", f"There is no type {type_} any more.")
            raise InvalidFields((fault,))
        if faults := self._schemas.find_faults(kind, body):
            raise InvalidFields(tuple(faults))

    async def delete(self, request: web.Request, who: Identity) -> web.Response:
        """`DELETE /v1/jobs/{id}`: 204, input, result, events and deliveries are erased."""
        query = read_query(request, _DELETE_PARAMETERS)
        job_id = read_job_path(request)
        cancel = read_flag(query, "cancelDeliveries")
        await read_nothing(request, self._limits)
        await self._erase.erase(job_id, who.scope, who.acting(request), cancel_deliveries=cancel)
        return web.Response(status=204)
