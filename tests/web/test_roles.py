"""Every call, by every role: who may make it, and who is told that it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
import pytest_asyncio

from dispatcher.core.model import Role
from dispatcher.engine.leases import RemoteWork
from dispatcher.engine.queues import Queues
from dispatcher.web.app import make_app
from tests.web.edge import DEV, Edge
from tests.web.route_table import ROUTES, Who, path_of, routes_of
from tests.web.steering_doubles import NoQueues, NoWork

KEYS = {Role.CALLER: "dsp_ada", Role.WORKER: "dsp_worker", Role.OPERATOR: "dsp_ops"}
GUARDED = sorted(route for route, who in ROUTES.items() if who is not Who.ANYONE)
OPEN = sorted(route for route, who in ROUTES.items() if who is Who.ANYONE)


class Page:
    content_type = "text/plain"

    async def make(self) -> bytes:
        return b""


def an_edge(*, dev: bool = False, metrics_open: bool = True) -> Edge:
    """With all that can be served."""
    edge = Edge(dev=DEV if dev else None)
    edge.services = replace(
        edge.services,
        metrics=Page(),
        metrics_open=metrics_open,
        queues=cast("Queues", NoQueues()),
        remote=cast("RemoteWork", NoWork()),
    )
    return edge


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Edge]:
    async with an_edge().running() as running:
        yield running


def test_every_route_is_in_the_table() -> None:
    """One that is missing: say in `route_table.py` who may take it."""
    assert sorted(routes_of(make_app(an_edge(dev=True).services))) == sorted(ROUTES)


def test_a_get_answers_a_head_too() -> None:
    app = make_app(an_edge(dev=True).services)
    heads = {r.resource.canonical for r in app.router.routes() if r.method == "HEAD" and r.resource}
    assert heads == {path for method, path in ROUTES if method == "GET"}


@pytest.mark.parametrize(("method", "template"), GUARDED)
async def test_each_call_is_for_the_roles_of_the_table_alone(
    served: Edge, method: str, template: str
) -> None:
    path = path_of(template)
    for verb in (method, "HEAD") if method == "GET" else (method,):
        for role, key in KEYS.items():
            answer = await served.call(verb, path, key=key)
            if role in ROUTES[method, template].value:
                assert answer.status not in {401, 403}, f"{role}: {answer}"
            else:
                assert answer.status == 403, f"{role}: {answer}"
                if verb != "HEAD":
                    assert answer.json["code"] == "forbidden"
        for stranger in (None, "dsp_nobody-s"):
            answer = await served.call(verb, path, key=stranger)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="dispatcher"'


@pytest.mark.parametrize(("method", "template"), GUARDED)
async def test_who_may_not_is_told_before_anything_is_looked_at(
    served: Edge, method: str, template: str
) -> None:
    """Neither a body that is none nor a query that is unknown tells a stranger what there is."""
    for key in (None, "dsp_worker"):
        if key is not None and Role.WORKER in ROUTES[method, template].value:
            continue
        path = f"{path_of(template)}?nonsense=1"
        answer = await served.call(method, path, key=key, data=b"{")
        assert answer.status in {401, 403}


@pytest.mark.parametrize(("method", "template"), OPEN)
async def test_what_needs_no_key(method: str, template: str) -> None:
    async with an_edge(dev=True).running() as edge:
        answer = await edge.call(method, template, key=None, headers={"Host": "localhost"})
        if template != "/dev/inbox" or method != "POST":  # it verifies, and answers 401 itself
            assert answer.status == 200, answer.body


async def test_metrics_that_are_closed_are_for_operators() -> None:
    async with an_edge(metrics_open=False).running() as edge:
        answers = {role: await edge.call("GET", "/metrics", key=key) for role, key in KEYS.items()}
        assert {role: answer.status for role, answer in answers.items()} == {
            Role.CALLER: 403,
            Role.WORKER: 403,
            Role.OPERATOR: 200,
        }
        assert (await edge.call("GET", "/metrics", key=None)).status == 401
