"""`/v1/callers`: who may use the service, and what their callbacks are signed with."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web
from msgspec import UNSET, UnsetType

from dispatcher.core.errors import FieldError, InvalidFields, NotFound
from dispatcher.core.model import ApiKey, Instant, Role
from dispatcher.core.payload import encode, rfc3339
from dispatcher.core.quotas import CallerLimits, CallerTerms
from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule
from dispatcher.core.submission import TIME_EXAMPLE, check_schedule, parse_rfc3339
from dispatcher.engine.callers import RESERVED_NAMES, CreatedKey, terms_json
from dispatcher.ports.records import OVERLAP_SECONDS, CallerRecord
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_as, read_nothing
from dispatcher.web.queries import PAGE, number_cursor, page, read_cursor, read_limit, read_query
from dispatcher.web.services import Services
from dispatcher.web.wire import CallerBody, CallerChangeBody, KeyBody, RateBody, RotationBody

_CALLER_ID: Final = re.compile("clr_[0-9a-f]{32}")
_KEY_ID: Final = re.compile("key_[0-9a-f]{32}")
_CREATED: Final = 201
# What is shown once must not stay in a cache (RFC 9111, 5.2.2.5).
_SECRET_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class CallerCalls:
    """The handlers of `/v1/callers` and below; for operators."""

    def __init__(self, services: Services) -> None:
        self._callers = services.callers
        self._store = services.store
        self._clock = services.clock
        self._limits = services.limits
        self._public_url = services.public_url

    async def list(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/callers`: newest first, each with its keys and secrets in force."""
        query = read_query(request, PAGE)
        found = await self._store.list_callers(
            limit=read_limit(query, self._limits), before=read_cursor(query, "callers")
        )
        items = [_caller_shown(record) for record in found.items]
        return page(request, self._public_url, query, items, number_cursor("callers", found.next))

    async def get(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/callers/{id}`: as in the list."""
        read_query(request)
        return await self._answer(_id_of(request, "id", "caller", _CALLER_ID))

    async def change(self, request: web.Request, who: Identity) -> web.Response:
        """`PATCH /v1/callers/{id}`: 200 with the caller; what is left out stays as it is."""
        read_query(request)
        caller_id = _id_of(request, "id", "caller", _CALLER_ID)
        asked = await read_as(request, self._limits, CallerChangeBody)
        if isinstance(asked.schedule, list):
            faults = tuple(check_schedule(asked.schedule, self._limits, at="/schedule"))
            if faults:
                raise InvalidFields(faults)
        await self._callers.change(
            caller_id, lambda terms: changed(terms, asked), who.acting(request)
        )
        return await self._answer(caller_id)

    async def _answer(self, caller_id: str) -> web.Response:
        record = await self._store.get_caller(caller_id)
        if record is None:
            raise NotFound("caller", caller_id)
        headers = {"Content-Type": "application/json"}
        return web.Response(body=encode(_caller_shown(record)), headers=headers)

    async def create(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/callers`: 201 with the caller, its first key and its secret, shown once."""
        read_query(request)
        asked = await read_as(request, self._limits, CallerBody)
        if asked.name in RESERVED_NAMES:
            fault = FieldError("/name", "reserved", "This name is the service's own.")
            raise InvalidFields((fault,))
        made = await self._callers.create(
            asked.name, asked.role or Role.CALLER, who.acting(request)
        )
        caller = made.caller
        return _told_once(
            _CREATED,
            {
                "id": caller.id,
                "name": caller.name,
                "createdAt": rfc3339(caller.created_at),
                "key": _key_told(made.created),
                "secret": made.secret,
            },
        )

    async def add_key(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/callers/{id}/keys`: 201 with the new key, shown once."""
        read_query(request)
        caller_id = _id_of(request, "id", "caller", _CALLER_ID)
        asked = await read_as(request, self._limits, KeyBody)
        expires_at = self._expiry(asked.expires_at)
        made = await self._callers.add_key(
            caller_id, asked.role, who.acting(request), expires_at=expires_at
        )
        return _told_once(_CREATED, _key_told(made))

    async def revoke_key(self, request: web.Request, who: Identity) -> web.Response:
        """`DELETE /v1/callers/{id}/keys/{keyId}`: 204, also when it was revoked before."""
        read_query(request)
        caller_id = _id_of(request, "id", "caller", _CALLER_ID)
        key_id = _id_of(request, "keyId", "key", _KEY_ID)
        await read_nothing(request, self._limits)
        await self._callers.revoke_key(caller_id, key_id, who.acting(request))
        return web.Response(status=204)

    async def rotate_secret(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/callers/{id}/rotate-secret`: 200 with the new secret, shown once."""
        read_query(request)
        caller_id = _id_of(request, "id", "caller", _CALLER_ID)
        asked = RotationBody()
        if request.body_exists:
            asked = await read_as(request, self._limits, RotationBody)
        overlap = asked.overlap_seconds
        made = await self._callers.rotate_secret(
            caller_id,
            who.acting(request),
            overlap_seconds=OVERLAP_SECONDS if overlap is None else overlap,
        )
        return _told_once(
            200,
            {
                "callerId": caller_id,
                "secret": made.secret,
                "createdAt": rfc3339(made.created_at),
                "othersSignUntil": rfc3339(made.others_until),
            },
        )

    def _expiry(self, text: str | None) -> Instant | None:
        if text is None:
            return None
        at = "/expiresAt"
        instant = parse_rfc3339(text)
        if instant is None:
            raise InvalidFields((FieldError(at, "bad-time", f"It must be {TIME_EXAMPLE}."),))
        if instant <= self._clock.now():
            raise InvalidFields((FieldError(at, "in-the-past", "It must lie ahead."),))
        return instant


def changed(terms: CallerTerms, asked: CallerChangeBody) -> CallerTerms:
    """What is set for a caller after a change; what that leaves out stays."""
    limits = terms.limits
    if asked.limits is None:
        limits = CallerLimits()
    elif asked.limits is not UNSET:
        wanted = asked.limits
        limits = CallerLimits(
            rate=_rate(wanted.rate, limits.rate),
            jobs_waiting=_or(wanted.jobs_waiting, limits.jobs_waiting),
            bytes_waiting=_or(wanted.bytes_waiting, limits.bytes_waiting),
            body_bytes=_or(wanted.body_bytes, limits.body_bytes),
        )
    schedule = terms.schedule
    if asked.schedule is not UNSET:
        schedule = None if asked.schedule is None else Schedule(tuple(asked.schedule))
    return CallerTerms(limits=limits, schedule=schedule)


def _rate(wanted: RateBody | UnsetType | None, now: Rate | None) -> Rate | None:
    if wanted is UNSET:
        return now
    return None if wanted is None else Rate(wanted.requests, wanted.window_seconds)


def _or(wanted: int | UnsetType | None, now: int | None) -> int | None:
    return now if wanted is UNSET else wanted


def _id_of(request: web.Request, part: str, what: str, form: re.Pattern[str]) -> str:
    """The id in the path; what can't be one is not asked of the store."""
    text = request.match_info[part]
    if not form.fullmatch(text):
        raise NotFound(what, text[:100])
    return text


def _told_once(status: int, members: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=encode(members), headers=_SECRET_HEADERS)


def _key_shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "createdAt": rfc3339(key.created_at),
        "expiresAt": rfc3339(key.expires_at),
    }


def _key_told(made: CreatedKey) -> dict[str, Any]:
    return {**_key_shown(made.key), "callerId": made.key.caller_id, "apiKey": made.text}


def _caller_shown(record: CallerRecord) -> dict[str, Any]:
    caller = record.caller
    return {
        "id": caller.id,
        "name": caller.name,
        "createdAt": rfc3339(caller.created_at),
        "keys": [_key_shown(key) for key in record.keys],
        "secrets": [
            {"createdAt": rfc3339(each.created_at), "expiresAt": rfc3339(each.expires_at)}
            for each in record.secrets
        ],
        **terms_json(caller.terms),
    }
