"""`/v1/queues`, and pausing them: maintenance by operators."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from dispatcher.core.errors import NotFound
from dispatcher.core.payload import encode, rfc3339
from dispatcher.engine.queues import Queues
from dispatcher.ports.views import Backlog, Pauses, QueueBacklog
from dispatcher.web.auth import Identity
from dispatcher.web.body import read_nothing
from dispatcher.web.queries import (
    PAGE,
    name_cursor,
    page,
    read_limit,
    read_name_cursor,
    read_query,
)
from dispatcher.web.services import Services
from dispatcher.web.wire import NAME_PATTERN

_NAME: Final = re.compile(NAME_PATTERN)
_JSON: Final = {"Content-Type": "application/json"}


class Pausing:
    """The handlers of `/v1/queues`, `/v1/pause` and `/v1/resume`."""

    def __init__(self, services: Services, queues: Queues) -> None:
        self._queues = queues
        self._catalog = services.catalog
        self._limits = services.limits
        self._public_url = services.public_url

    async def list(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for every operator
        """`GET /v1/queues`: by name; those of types, those with open jobs, those that are paused.

        `pausedAt` beside the items is since when all are paused, or null.
        """
        query = read_query(request, PAGE)
        limit = read_limit(query, self._limits)
        after = read_name_cursor(query, "queues") or ""
        backlog, pauses = await self._queues.overview()
        known = {each.queue: each for each in backlog.queues}
        names = known.keys() | pauses.queues.keys() | {kind.queue for kind in self._catalog.all()}
        wanted = sorted(name for name in names if name > after)
        items = [
            _shown(known.get(name) or QueueBacklog(queue=name), backlog, pauses)
            for name in wanted[:limit]
        ]
        last = wanted[limit - 1] if len(wanted) > limit else None
        more = {"pausedAt": rfc3339(pauses.all_at)}
        return page(request, self._public_url, query, items, name_cursor("queues", last), more)

    async def pause(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/queues/{name}/pause`: 200; one that is paused stays so."""
        name = await self._named(request)
        return _paused(name, await self._queues.pause(name, who.acting(request)))

    async def resume(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/queues/{name}/resume`: 200."""
        name = await self._named(request)
        return _paused(name, await self._queues.resume(name, who.acting(request)))

    async def pause_all(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/pause`: 200; jobs are still accepted, and wait."""
        read_query(request)
        await read_nothing(request, self._limits)
        return _paused(None, await self._queues.pause(None, who.acting(request)))

    async def resume_all(self, request: web.Request, who: Identity) -> web.Response:
        """`POST /v1/resume`: 200; queues that were paused by themselves stay so."""
        read_query(request)
        await read_nothing(request, self._limits)
        return _paused(None, await self._queues.resume(None, who.acting(request)))

    async def _named(self, request: web.Request) -> str:
        read_query(request)
        name = request.match_info["name"]
        if not _NAME.fullmatch(name):
            raise NotFound("queue", name[:100])
        await read_nothing(request, self._limits)
        return name


def _shown(queue: QueueBacklog, backlog: Backlog, pauses: Pauses) -> dict[str, Any]:
    oldest = queue.oldest_due_at
    return {
        "name": queue.queue,
        "depth": queue.waiting,
        "scheduled": queue.scheduled,
        "running": queue.running,
        "oldestAgeSeconds": None if oldest is None else (backlog.at - oldest) / 1000,
        "pausedAt": rfc3339(pauses.queues.get(queue.queue)),
    }


def _paused(name: str | None, pauses: Pauses) -> web.Response:
    members: dict[str, Any] = {"pausedAt": rfc3339(pauses.all_at)}
    if name is not None:
        members = {"name": name, "pausedAt": rfc3339(pauses.queues.get(name))}
    return web.Response(body=encode(members), headers=_JSON)
