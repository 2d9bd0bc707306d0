"""`/healthz` and `/readyz`, for whatever watches over the process."""

from __future__ import annotations

from aiohttp import web

from dispatcher.web.queries import read_query
from dispatcher.web.services import Services

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class Health:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._ready = services.ready

    async def live(self, request: web.Request) -> web.Response:
        """`GET /healthz`: 200 as long as the process answers at all."""
        read_query(request)
        return web.Response(body=b'{"status":"ok"}', headers=_JSON)

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`: 200 if work can be taken now, else 503 with the reason."""
        read_query(request)
        await self._ready()
        return web.Response(body=b'{"status":"ready"}', headers=_JSON)
