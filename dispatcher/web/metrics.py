"""`/metrics`, for Prometheus."""

from __future__ import annotations

from aiohttp import web

from dispatcher.web.auth import Identity
from dispatcher.web.queries import read_query
from dispatcher.web.services import MetricsMade


class MetricsPage:
    """The handler."""

    def __init__(self, made: MetricsMade) -> None:
        self._made = made

    async def show(self, request: web.Request, who: Identity | None = None) -> web.Response:  # noqa: ARG002  # the same for whoever may ask
        """`GET /metrics`: the series in Prometheus' text format.

        Open to all, or to operators alone if `metrics_open` is false.
        """
        read_query(request)
        headers = {"Content-Type": self._made.content_type, "Cache-Control": "no-store"}
        return web.Response(body=await self._made.make(), headers=headers)
