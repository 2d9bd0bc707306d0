"""`/v1/destinations`: where callbacks go, how each stands, pausing and resuming. For operators."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from dispatcher.core.errors import NotFound
from dispatcher.core.payload import encode, rfc3339
from dispatcher.ports.views import DestinationFilter, DestinationRecord
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_nothing
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

_ID: Final = re.compile("dst_[0-9a-f]{32}")


class DestinationCalls:
    """The handlers of `/v1/destinations` and below."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._destinations = services.destinations
        self._limits = services.limits
        self._public_url = services.public_url

    async def list(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/destinations`: newest first."""
        query = read_query(request, PAGE | {"callerId"})
        found = await self._store.list_destinations(
            DestinationFilter(caller_id=read_caller_id(query)),
            limit=read_limit(query, self._limits),
            before=read_cursor(query, "destinations"),
        )
        items = [destination_shown(each) for each in found.items]
        cursor = number_cursor("destinations", found.next)
        return page(request, self._public_url, query, items, cursor)

    async def get(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/destinations/{id}`: as in the list."""
        read_query(request)
        destination_id = _id_of(request)
        record = await self._store.get_destination(destination_id)
        if record is None:
            raise NotFound("destination", destination_id)
        return _answer(record)

    async def pause(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/destinations/{id}/pause`: 200 with the destination as it is now."""
        read_query(request)
        destination_id = _id_of(request)
        await read_nothing(request, self._limits)
        return _answer(await self._destinations.pause(destination_id, who.acting(request)))

    async def resume(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/destinations/{id}/resume`: 200 with the destination as it is now."""
        read_query(request)
        destination_id = _id_of(request)
        await read_nothing(request, self._limits)
        return _answer(await self._destinations.resume(destination_id, who.acting(request)))


def destination_shown(record: DestinationRecord) -> dict[str, Any]:
    """A destination as operators see it."""
    state = "active"
    if record.held_at is not None:
        state = "held"
    if record.paused_at is not None:
        state = "paused"
    return {
        "id": record.id,
        "callerId": record.caller_id,
        "origin": record.origin,
        "endpointId": record.endpoint_id,
        "state": state,
        "pausedAt": rfc3339(record.paused_at),
        "breaker": {"state": record.breaker, "openUntil": rfc3339(record.open_until)},
        "urlsInTrouble": record.urls_in_trouble,
        "sending": record.sending,
        "pending": record.waiting,
        "due": record.due,
        "oldestDueAt": rfc3339(record.oldest_due_at),
    }


def _answer(record: DestinationRecord) -> web.Response:
    headers = {"Content-Type": "application/json"}
    return web.Response(body=encode(destination_shown(record)), headers=headers)


def _id_of(request: web.Request) -> str:
    """The id in the path; one that can't be an id is no destination's."""
    destination_id = request.match_info["id"]
    if not _ID.fullmatch(destination_id):
        raise NotFound("destination", destination_id[:100])
    return destination_id
