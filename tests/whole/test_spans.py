"""Spans from a real service, as a collector gets them by OTLP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dispatcher.client import Client
from tests.whole.rig import rig

pytestmark = pytest.mark.whole

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"


class Collector:
    """Takes spans, as OTLP over HTTP has it: protobuf POSTed to `/v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = ExportTraceServiceRequest.FromString(await request.read())
        for resource in body.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(headers={"Content-Type": "application/x-protobuf"})


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


async def test_a_collector_gets_the_tree_of_a_job(tmp_path: Path, collector: Collector) -> None:
    environment = {
        "DISPATCHER_OTEL": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "jobs",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    async with rig(tmp_path, dev=True, environment=environment) as here:
        async with Client(here.service.url) as client:
            job = await client.submit(
                "dispatcher.echo",
                1,
                callback_url=here.receiver.url,
                traceparent=f"00-{TRACE_ID}-{CALLERS_SPAN}-01",
            )
        arrival = await here.callback(job.id)
        await here.service.stop()  # what is left is exported then

    assert collector.services == {"jobs"}
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    by_name = {span.name: span for span in collector.spans}
    assert set(by_name) == {
        "dispatcher.echo accept",
        "dispatcher.echo run",
        "job.succeeded deliver",
    }
    accept = by_name["dispatcher.echo accept"]
    assert accept.parent_span_id.hex() == CALLERS_SPAN
    for name in ("dispatcher.echo run", "job.succeeded deliver"):
        assert by_name[name].parent_span_id == accept.span_id
        assert by_name[name].end_time_unix_nano >= by_name[name].start_time_unix_nano
    sent = {name.lower(): value for name, value in arrival.headers.items()}
    own = by_name["job.succeeded deliver"].span_id.hex()
    assert sent["traceparent"] == f"00-{TRACE_ID}-{own}-01"
