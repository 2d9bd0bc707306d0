"""`/metrics` at the edge: who may read it, and how it is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dispatcher.adapters.metrics import InFlight, Metrics, MetricsPage
from dispatcher.core.errors import StoreUnavailable
from dispatcher.ports.views import Backlog
from tests.metrics_text import Shown
from tests.web.edge import ECHO, Edge


class NoStore:
    async def backlog(self, most: int) -> Backlog:
        raise StoreUnavailable("disk full")


@asynccontextmanager
async def watched(*, metrics_open: bool = True) -> AsyncIterator[Edge]:
    edge = Edge()
    page = MetricsPage(
        Metrics([ECHO], version="1"),
        NoStore(),
        jobs=InFlight(lambda: 0, 1),
        ending=lambda: 0,
        deliveries=InFlight(lambda: 0, 1),
        held_up=lambda: 0,
        waits=lambda: 3,
        streams=lambda: 4,
        clock=edge.clock,
    )
    edge.services = replace(edge.services, metrics=page, metrics_open=metrics_open)
    async with edge.running():
        yield edge


async def test_it_needs_no_key_and_no_store() -> None:
    async with watched() as edge:
        answer = await edge.call("GET", "/metrics", key=None)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert answer.headers["Cache-Control"] == "no-store"
        shown = Shown(answer.body)
        assert shown.value("dispatcher_jobs_accepted_total", type="dispatcher.echo") == 0
        head = await edge.call("HEAD", "/metrics", key=None)
        assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("dsp_wrong", 401), ("dsp_ada", 403), ("dsp_worker", 403), ("dsp_ops", 200)],
)
async def test_closed_it_is_for_operators(key: str | None, status: int) -> None:
    async with watched(metrics_open=False) as edge:
        answer = await edge.call("GET", "/metrics", key=key)
        assert answer.status == status
        assert (b"dispatcher_" in answer.body) == (status == 200)


async def test_it_takes_no_parameters() -> None:
    async with watched() as edge:
        answer = await edge.call("GET", "/metrics?name=x", key=None)
        assert answer.status == 422
        assert (await edge.call("POST", "/metrics", key=None)).status == 405


async def test_an_edge_without_metrics_has_no_such_path(edge: Edge) -> None:
    assert (await edge.call("GET", "/metrics", key=None)).status == 404
