"""`/v1/deliveries`: reading, redelivering, canceling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from dispatcher.core.errors import NotFound
from dispatcher.core.model import DeliveryState, EventType
from dispatcher.core.payload import encode
from dispatcher.ports.views import DeliveryFilter, DeliveryRecord
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_nothing
from dispatcher.web.queries import (
    PAGE,
    number_cursor,
    page,
    read_caller_id,
    read_cursor,
    read_endpoint_id,
    read_instant,
    read_job_id,
    read_limit,
    read_query,
    read_url,
    read_word,
)
from dispatcher.web.services import Services
from dispatcher.web.shown import delivery_listed, delivery_shown, path_of

_DELIVERY_ID: Final = re.compile("dlv_[0-9a-f]{32}")
_LIST_PARAMETERS: Final = PAGE | {
    "status",
    "jobId",
    "eventType",
    "url",
    "endpointId",
    "createdAfter",
    "createdBefore",
    "callerId",
}


class Deliveries:
    """The handlers of `/v1/deliveries` and below."""

    def __init__(self, services: Services) -> None:
        self._redeliver = services.redeliver
        self._cancel = services.cancel_delivery
        self._store = services.store
        self._limits = services.limits
        self._public_url = services.public_url
        self._path = path_of(services.public_url)

    async def list(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/deliveries`: newest first, without their attempts."""
        query = read_query(request, _LIST_PARAMETERS)
        limit = read_limit(query, self._limits)
        before = read_cursor(query, "all-deliveries")
        wanted = DeliveryFilter(
            caller_id=read_caller_id(query) or who.scope,
            job_id=read_job_id(query),
            state=read_word(query, "status", DeliveryState),
            event_type=read_word(query, "eventType", EventType),
            url=read_url(query, self._limits),
            endpoint_id=read_endpoint_id(query),
            created_after=read_instant(query, "createdAfter"),
            created_before=read_instant(query, "createdBefore"),
        )
        if not who.sees_all and wanted.caller_id != who.caller.id:
            return page(request, self._public_url, query, [], None)  # another's: nothing to see
        found = await self._store.list_deliveries(wanted, limit=limit, before=before)
        items = [delivery_listed(each) for each in found.items]
        next_cursor = number_cursor("all-deliveries", found.next)
        return page(request, self._public_url, query, items, next_cursor)

    async def get(self, request: web.Request, who: Identity) -> web.Response:
        """`GET /v1/deliveries/{id}`: one with its attempts."""
        read_query(request)
        delivery_id = _delivery_id(request)
        record = await self._store.get_delivery(delivery_id, who.scope)
        if record is None:
            raise NotFound("delivery", delivery_id)
        return _answer(record, 200)

    async def redeliver(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/deliveries/{id}/redeliver`: 202, a new round of attempts has begun."""
        read_query(request)
        delivery_id = _delivery_id(request)
        await read_nothing(request, self._limits)
        record = await self._redeliver.redeliver(delivery_id, who.scope, who.acting(request))
        where = f"{self._path}/v1/deliveries/{record.delivery.id}"
        return _answer(record, 202, {"Location": where})  # RFC 9110, 15.3.3

    async def cancel(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/deliveries/{id}/cancel`: 200 with the delivery as it is now.

        One that is being sent is shown so, with `cancelRequestedAt`: the attempt under way is its
        last.
        """
        read_query(request)
        delivery_id = _delivery_id(request)
        await read_nothing(request, self._limits)
        record = await self._cancel.cancel(delivery_id, who.scope, who.acting(request))
        return _answer(record, 200)


def _answer(
    record: DeliveryRecord, status: int, more: Mapping[str, str] | None = None
) -> web.Response:
    headers = {"Content-Type": "application/json", **(more or {})}
    return web.Response(status=status, body=encode(delivery_shown(record)), headers=headers)


def _delivery_id(request: web.Request) -> str:
    """The id in the path; one that can't be an id is no delivery's."""
    delivery_id = request.match_info["id"]
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise NotFound("delivery", delivery_id[:100])
    return delivery_id
