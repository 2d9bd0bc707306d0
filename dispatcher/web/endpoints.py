"""`/v1/endpoints`: callback URLs that a caller registers for the events of all of its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from dispatcher.core.addresses import Refused, Target, judge_url
from dispatcher.core.endpoints import DEFAULT_EVENTS, Endpoint, endpoint_json
from dispatcher.core.errors import FieldError, InvalidFields, NotFound
from dispatcher.core.model import EventType
from dispatcher.core.payload import encode, rfc3339
from dispatcher.core.retry import Schedule
from dispatcher.core.submission import check_headers, check_schedule
from dispatcher.ports.endpoints import EndpointRecord
from dispatcher.ports.records import OVERLAP_SECONDS
from dispatcher.web.auth import Identity, named_caller
from dispatcher.web.body import read_as, read_nothing
from dispatcher.web.faults import MAX_FAULTS
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_limit,
    read_query,
)
from dispatcher.web.services import Services
from dispatcher.web.shown import delivery_shown, path_of
from dispatcher.web.wire import EndpointBody, EndpointChangeBody, RotationBody

_ENDPOINT_ID: Final = re.compile("ep_[0-9a-f]{32}")
_NAMES_CALLER: Final = frozenset({"callerId"})
_LIST_PARAMETERS: Final = PAGE | _NAMES_CALLER
_JSON: Final = {"Content-Type": "application/json"}
# What is shown once must not stay in a cache (RFC 9111, 5.2.2.5).
_SECRET_HEADERS: Final = _JSON | {"Cache-Control": "no-store"}


class EndpointCalls:
    """The handlers of `/v1/endpoints` and below."""

    def __init__(self, services: Services) -> None:
        self._endpoints = services.endpoints
        self._store = services.store
        self._vault = services.vault
        self._clock = services.clock
        self._policy = services.policy
        self._limits = services.limits
        self._public_url = services.public_url
        self._path = path_of(services.public_url)

    async def create(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/endpoints`: 201 with the endpoint and its secret, shown once."""
        query = read_query(request, _NAMES_CALLER)
        caller = await named_caller(self._store, who, read_caller_id(query))
        asked = _wished(await read_as(request, self._limits, EndpointBody))
        target = self._check(asked)
        if target is None:
            raise AssertionError("the body of a new endpoint has a URL")
        blank = Endpoint(
            id=self._endpoints.new_id(),
            caller_id=caller.id,
            url=target.url,
            origin=target.origin,
            events=DEFAULT_EVENTS,
            created_at=self._clock.now(),
        )
        made = await self._endpoints.create(
            self._changed(blank, asked, target), who.acting(request), most=self._limits.endpoints
        )
        shown = _shown(made.record) | {"secret": made.secret}
        headers = _SECRET_HEADERS | {"Location": f"{self._path}/v1/endpoints/{blank.id}"}
        return web.Response(status=201, body=encode(shown), headers=headers)

    async def list(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/endpoints`: newest first."""
        query = read_query(request, _LIST_PARAMETERS)
        limit = read_limit(query, self._limits)
        before = read_cursor(query, "endpoints")
        caller_id = read_caller_id(query) or who.scope
        if not who.sees_all and caller_id != who.caller.id:
            return page(request, self._public_url, query, [], None)  # another's: nothing to see
        found = await self._store.list_endpoints(caller_id, limit=limit, before=before)
        items = [_shown(record) for record in found.items]
        return page(request, self._public_url, query, items, number_cursor("endpoints", found.next))

    async def get(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/endpoints/{id}`: one, without its secrets."""
        read_query(request)
        return _answer(await self._endpoints.get(_id_of(request), who.scope))

    async def change(self, request: web.Request, who: Identity) -> web.Response:
        """`PATCH /v1/endpoints/{id}`: 200 with the endpoint; what is left out stays as it is."""
        read_query(request)
        endpoint_id = _id_of(request)
        asked = await read_as(request, self._limits, EndpointChangeBody)
        target = self._check(asked)
        record = await self._endpoints.change(
            endpoint_id,
            who.scope,
            lambda endpoint: self._changed(endpoint, asked, target),
            who.acting(request),
        )
        return _answer(record)

    async def delete(self, request: web.Request, who: Identity) -> web.Response:
        """`DELETE /v1/endpoints/{id}`: 204; what it is owed is canceled."""
        read_query(request)
        endpoint_id = _id_of(request)
        await read_nothing(request, self._limits)
        await self._endpoints.delete(endpoint_id, who.scope, who.acting(request))
        return web.Response(status=204)

    async def enable(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/endpoints/{id}/enable`: 200 with the endpoint; what has waited is sent."""
        read_query(request)
        endpoint_id = _id_of(request)
        await read_nothing(request, self._limits)
        return _answer(await self._endpoints.enable(endpoint_id, who.scope, who.acting(request)))

    async def disable(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/endpoints/{id}/disable`: 200 with the endpoint; what it is owed waits."""
        read_query(request)
        endpoint_id = _id_of(request)
        await read_nothing(request, self._limits)
        return _answer(await self._endpoints.disable(endpoint_id, who.scope, who.acting(request)))

    async def ping(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/endpoints/{id}/ping`: 202 with the delivery of the ping."""
        read_query(request)
        endpoint_id = _id_of(request)
        await read_nothing(request, self._limits)
        record = await self._endpoints.ping(endpoint_id, who.scope, who.acting(request))
        headers = _JSON | {"Location": f"{self._path}/v1/deliveries/{record.delivery.id}"}
        return web.Response(status=202, body=encode(delivery_shown(record)), headers=headers)

    async def rotate_secret(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/endpoints/{id}/rotate-secret`: 200 with the new secret, shown once."""
        read_query(request)
        endpoint_id = _id_of(request)
        asked = RotationBody()
        if request.body_exists:
            asked = await read_as(request, self._limits, RotationBody)
        overlap = asked.overlap_seconds
        made = await self._endpoints.rotate_secret(
            endpoint_id,
            who.scope,
            who.acting(request),
            overlap_seconds=OVERLAP_SECONDS if overlap is None else overlap,
        )
        shown = {
            "endpointId": made.endpoint_id,
            "secret": made.secret,
            "createdAt": rfc3339(made.created_at),
            "othersSignUntil": rfc3339(made.others_until),
        }
        return web.Response(body=encode(shown), headers=_SECRET_HEADERS)

    # --- what is asked for -------------------------------------------------------------------

    def _check(self, asked: EndpointChangeBody) -> Target | None:
        """Where it is to go, None if that is not asked; raises `InvalidFields`."""
        url = asked.url
        target = None if url is UNSET else judge_url(url, self._policy)
        faults = tuple(self._faults(asked, target))[:MAX_FAULTS]
        if faults:
            raise InvalidFields(faults)
        return None if isinstance(target, Refused) else target

    def _faults(
        self, asked: EndpointChangeBody, target: Target | Refused | None
    ) -> Iterator[FieldError]:
        limits = self._limits
        if asked.url is not UNSET and len(asked.url) > limits.url_characters:
            detail = f"A URL has at most {limits.url_characters} characters."
            yield FieldError("/url", "too-long", detail)
        elif isinstance(target, Refused):
            yield FieldError("/url", "callback-url-refused", target.detail)
        if isinstance(asked.headers, dict):
            yield from check_headers(asked.headers, limits, at=("headers",))
        if isinstance(asked.schedule, list):
            yield from check_schedule(asked.schedule, limits, at="/schedule")

    def _changed(
        self, endpoint: Endpoint, asked: EndpointChangeBody, target: Target | None
    ) -> Endpoint:
        """The endpoint as it is to be; what was checked is not looked at again."""
        wanted: dict[str, Any] = {}
        if target is not None:
            wanted |= {"url": target.url, "origin": target.origin}
        if asked.events is not UNSET:
            events = tuple(EventType(each) for each in dict.fromkeys(asked.events or ()))
            wanted["events"] = events or DEFAULT_EVENTS
        if asked.headers is not UNSET:
            named = asked.headers or {}
            sealed = self._vault.seal(encode(named), endpoint.id) if named else None
            wanted |= {"headers": tuple(named), "sealed_headers": sealed}
        if asked.schedule is not UNSET:
            waits = asked.schedule
            wanted["schedule"] = None if waits is None else Schedule(tuple(waits))
        if asked.ordered is not UNSET:
            wanted["ordered"] = asked.ordered is True
        if asked.rate_limit is not UNSET:
            wanted["rate_limit"] = asked.rate_limit
        return replace(endpoint, **wanted)


def _wished(body: EndpointBody) -> EndpointChangeBody:
    """A new endpoint as a change of one that has the defaults."""
    return EndpointChangeBody(
        url=body.url,
        events=body.events,
        headers=body.headers,
        schedule=body.schedule,
        ordered=body.ordered,
        rate_limit=body.rate_limit,
    )


def _shown(record: EndpointRecord) -> dict[str, Any]:
    secrets = [
        {"createdAt": rfc3339(each.created_at), "expiresAt": rfc3339(each.expires_at)}
        for each in record.secrets
    ]
    return endpoint_json(record.endpoint) | {"secrets": secrets}


def _answer(record: EndpointRecord) -> web.Response:
    return web.Response(body=encode(_shown(record)), headers=_JSON)


def _id_of(request: web.Request) -> str:
    """The id in the path; what can't be one is not asked of the store."""
    endpoint_id = request.match_info["id"]
    if not _ENDPOINT_ID.fullmatch(endpoint_id):
        raise NotFound("endpoint", endpoint_id[:100])
    return endpoint_id
