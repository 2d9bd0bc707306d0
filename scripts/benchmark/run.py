"""Runs one scenario: starts its processes, lets the generator measure, adds up what was found."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from scripts.outside.api import Api
from scripts.outside.process import Credentials, Service, free_port

from .backlogs import deliver_backlog
from .baselines import BaselineOrder
from .figures import Around, Figures, figures, verified
from .generator import GeneratorOrder, Measured
from .listeners import ListenersOrder
from .places import Places, find_places
from .processes import findings, generate, memory, named, process, receiver, written
from .receiver import ReceiverOrder
from .scenario import STAMPED, Part, Scenario, Target
from .seeding import kept_caller, seed, store_with_caller
from .terms import BenchmarkFailed, Skipped, Terms

TOMORROW: Final = 86_400
POLL_SECONDS: Final = 50

_fresh_stores: Final[dict[Path | None, Path]] = {}


def environment(terms: Terms) -> dict[str, str]:
    """The settings that every scenario's service has."""
    settings = {
        "DISPATCHER_LOG_LEVEL": terms.log_level,
        # A quarter of these are one caller's.
        "DISPATCHER_LIMIT_WAITS_AT_ONCE": "1000000",
        "DISPATCHER_LIMIT_STREAMS_AT_ONCE": "1000000",
        "DISPATCHER_LIMIT_STREAMS_OF_CALLER": "1000000",
    }
    if terms.store is not None:
        settings["DISPATCHER_STORE"] = terms.store
        settings["DISPATCHER_SECRET_KEY"] = f"dsk_{'A' * 43}"
    return settings


def _chosen(scenario: Scenario) -> dict[str, str]:
    settings = {}
    if scenario.sender is not None:
        settings["DISPATCHER_SENDER"] = scenario.sender
    if scenario.delivery_rate is not None:
        settings["DISPATCHER_DELIVERY_RATE_PER_SECOND"] = str(scenario.delivery_rate)
    return settings


async def run(scenario: Scenario, terms: Terms) -> Figures:
    """Measure one scenario in a folder of its own.

    Raises:
        BenchmarkFailed: a process ended early.
        ServiceDied: the service did not start.
        Skipped: it makes no sense on these terms.
    """
    folder = terms.folder / scenario.name.replace(" ", "-")
    folder.mkdir(parents=True)
    match scenario.target:
        case Target.SERVICE:
            return await _service(scenario, terms, folder)
        case Target.BARE:
            port = free_port()
            with process("bare", str(port)) as bare:
                order = _order(scenario, terms, folder, port, {"service": bare.pid})
                measured = await generate(order, folder)
                return figures(scenario, measured, None, Around(memory=memory(bare.pid)))
        case Target.RECEIVER | Target.CLIENT:
            return await _receiver_alone(scenario, terms, folder)
        case Target.COMMITS:
            measured = await generate(_baseline(scenario, terms, folder), folder)
            return figures(scenario, measured, None, Around())


async def _service(scenario: Scenario, terms: Terms, folder: Path) -> Figures:
    _refuse_nonsense(scenario, terms)
    rows = round(max(scenario.finished, scenario.waiting) * terms.rows)
    if rows:
        await seed(folder, terms, rows=rows, delivered=scenario.finished > 0)
    elif terms.store is None:
        await store_with_caller(folder, terms, _fresh_stores)
    places = find_places(scenario, folder)
    processes = max(scenario.processes, terms.processes)
    service = Service(
        folder,
        app=str(Path(__file__).with_name("stamp.py")) if scenario.type == STAMPED else None,
        # The receiver that is down as well: else what waits for it would die of being refused.
        allow=[*places.allowed, *(["127.0.0.1/32"] if scenario.waiting else [])],
        environment=environment(terms) | places.environment | _chosen(scenario),
        log_file=folder / "service.log",
        options=["--processes", str(processes)] if processes > 1 else [],
        tree=terms.tree,
    )
    with receiver(places.order, folder) as (receiving, feedback):
        try:
            caller = kept_caller(folder) or await service.create_caller(named("benchmark"))
            start_seconds, secret = await _start(service, caller), caller.secret
            await _until_all_serve(service)
            pids = {"service": service.pid, "receiver": receiving.pid}
            order = msgspec.structs.replace(
                _order(scenario, terms, folder, service.port, pids),
                api_key=caller.api_key,
                callback_urls=[] if scenario.registered else places.urls,
                feedback=feedback,
            )
            if scenario.registered:
                secret = await _register(service, caller, places)
            before = _stored(service)
            async with _listening(scenario, service, folder) as each_kb:
                if scenario.part is Part.DELIVER:
                    measured = await deliver_backlog(service, order, receiving.pid, terms)
                else:
                    measured = await _loaded(scenario, order, service, places, folder)
                used = memory(service.pid)
            await service.stop(60)
        finally:
            service.end()
        found = findings(receiving, folder)
    grown = _stored(service) - before
    accepting = scenario.part is Part.ACCEPT
    around = Around(
        memory=used,
        each_listener_kb=each_kb,
        bytes_per_job=grown / sum(measured.accepted) if accepting and grown > 0 else None,
        start_seconds=start_seconds,
        rows=rows,
        verified=verified(found, secret),
    )
    return figures(scenario, measured, None if accepting else found, around)


def _refuse_nonsense(scenario: Scenario, terms: Terms) -> None:
    if scenario.processes > 1 and terms.store is None:
        raise Skipped("one process serves a SQLite store; give --postgres or --store")
    if (scenario.finished or scenario.waiting) and terms.store is not None:
        raise Skipped("only SQLite stores are prepared so far")
    if scenario.share is not None and terms.whole_path is None:
        raise Skipped("it needs the figure of the whole path from the same run")


async def _start(service: Service, caller: Credentials) -> float:
    """Seconds from the start of the process until it has accepted a job (which waits)."""
    job = {"type": "dispatcher.echo", "input": None, "delaySeconds": TOMORROW}
    headers = {"Authorization": f"Bearer {caller.api_key}"}
    service.spawn()
    began = time.monotonic()
    async with aiohttp.ClientSession(headers=headers) as session:
        while time.monotonic() < began + 30:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(f"{service.url}/v1/jobs", json=job) as answer:
                    if answer.status == 202:
                        return time.monotonic() - began
            await asyncio.sleep(0.005)
            if service.ended:
                break
    raise BenchmarkFailed(f"the service accepted no job:\n{service.log}")


async def _register(service: Service, caller: Credentials, places: Places) -> str:
    """Register an endpoint of the caller's for the ends of its jobs; its secret."""
    async with Api(service.url, caller.api_key) as api:
        made = await api.call("POST", "/v1/endpoints", {"url": places.urls[0]})
        if made.status != HTTPStatus.CREATED:
            raise BenchmarkFailed(f"no endpoint can be registered: {made.json}")
        secret: str = made.json["secret"]
        return secret


async def _until_all_serve(service: Service) -> None:
    """Return once the service has greeted, which it does when each of its processes listens.

    The load keeps its connections: the process that is first would have all of them for good.
    """
    ends = time.monotonic() + 30
    while "Dispatcher serves" not in service.log:
        if service.ended or time.monotonic() > ends:
            raise BenchmarkFailed(f"not every process came to serve:\n{service.log}")
        await asyncio.sleep(0.02)


def _stored(service: Service) -> int:
    """The bytes of a SQLite store and its log; 0 for others."""
    files = service.folder.glob("dispatcher.db*")
    return sum(each.stat().st_size for each in files)


async def _loaded(
    scenario: Scenario, order: GeneratorOrder, service: Service, places: Places, folder: Path
) -> Measured:
    """What the generator measures, whoever else submits meanwhile."""
    beside = None
    if scenario.hanging:
        beside = msgspec.structs.replace(
            order,
            callback_urls=[places.hanging],
            rate=scenario.hanging,
        )
    elif scenario.flood:
        flood = await service.create_caller(named("flood"))
        beside = msgspec.structs.replace(
            order,
            api_key=flood.api_key,
            callback_urls=[],
            connections=scenario.flood,
            in_flight=scenario.flood,
        )
    if scenario.part is Part.ACCEPT:
        order = msgspec.structs.replace(order, feedback=None, more={"delaySeconds": TOMORROW})
    if beside is None:
        return await generate(order, folder)
    beside = msgspec.structs.replace(
        beside, measured=str(folder / "beside.json"), drain_seconds=5, feedback=None, pids={}
    )
    measured, _ = await asyncio.gather(generate(order, folder), generate(beside, folder))
    return measured


@contextlib.asynccontextmanager
async def _listening(
    scenario: Scenario, service: Service, folder: Path
) -> AsyncIterator[float | None]:
    """Listeners, of a caller of their own, while this is entered; what each costs, in KB."""
    if not scenario.listeners:
        yield None
        return
    caller = await service.create_caller(named("listeners"))
    async with Api(service.url, caller.api_key) as api:
        waits = {"type": "dispatcher.echo", "input": None, "delaySeconds": TOMORROW}
        job = (await api.submit(waits)).json
    before = memory(service.pid)
    paths = [f"/v1/jobs/{job['id']}/events", "/v1/events"]
    if scenario.poll:
        paths = [f"/v1/jobs/{job['id']}", "/v1/events"]
    order = ListenersOrder(
        service.port,
        caller.api_key,
        paths,
        scenario.listeners,
        POLL_SECONDS if scenario.poll else None,
    )
    with process("listeners", written(order, folder)):
        after = memory(service.pid)
        if before is None or after is None:
            yield None
        else:
            yield (after[0] - before[0]) * 1024 / scenario.listeners


async def _receiver_alone(scenario: Scenario, terms: Terms, folder: Path) -> Figures:
    port = free_port()
    receiving = ReceiverOrder([port], str(folder / "findings.json"))
    with process("receiver", written(receiving, folder)) as alone:
        pids = {"receiver": alone.pid}
        order: GeneratorOrder | BaselineOrder
        if scenario.target is Target.CLIENT:
            order = msgspec.structs.replace(
                _baseline(scenario, terms, folder), port=port, pids=pids
            )
        else:
            order = msgspec.structs.replace(
                _order(scenario, terms, folder, port, pids), accepted="204"
            )
        measured = await generate(order, folder)
        return figures(scenario, measured, None, Around())


def _baseline(scenario: Scenario, terms: Terms, folder: Path) -> BaselineOrder:
    return BaselineOrder(
        measured=str(folder / "measured.json"),
        folder=str(folder),
        seconds=terms.seconds,
        body_bytes=scenario.input_bytes,
        at_once=scenario.connections,
        rows=scenario.commits,
    )


def _order(
    scenario: Scenario, terms: Terms, folder: Path, port: int, pids: dict[str, int]
) -> GeneratorOrder:
    rate = terms.rate if scenario.paced else None
    if scenario.share is not None and terms.whole_path is not None:
        rate = scenario.share * terms.whole_path
    return GeneratorOrder(
        measured=str(folder / "measured.json"),
        port=port,
        api_key=None,
        input=order_of_goods(scenario.input_bytes),
        callback_urls=[],
        connections=scenario.connections,
        in_flight=scenario.in_flight,
        warm_up_seconds=terms.warm_up_seconds,
        seconds=terms.seconds,
        drain_seconds=terms.drain_seconds,
        feedback=None,
        pids=pids,
        type=scenario.type,
        rate=rate,
        keys=scenario.keys,
    )


def order_of_goods(size: int) -> str:
    """An input of `size` bytes of JSON that looks like what APIs are sent."""
    lines: list[dict[str, object]] = []

    def text(note: str) -> str:
        return msgspec.json.encode({"order": "A-1001", "lines": lines, "note": note}).decode()

    line: dict[str, object] = {"sku": "4006381333931", "quantity": 3, "price": 12.5, "tax": 0.19}
    # Each line is below 80 bytes.
    while len(lines) < (size - 60) // 80:
        lines.append({"line": len(lines) + 1, **line})
    return text("x" * max(0, size - len(text(""))))
