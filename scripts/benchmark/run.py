"""Runs one scenario: starts its processes, lets the generator measure, adds up what was found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from standardwebhooks import Webhook

from scripts.outside.api import Api
from scripts.outside.process import Service, free_port

from .generator import GeneratorOrder, Measured
from .listeners import ListenersOrder
from .receiver import Findings, ReceiverOrder, Sample
from .scenario import Scenario, Target

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


class Terms(Struct, frozen=True):
    """What holds for every scenario of one run.

    `folder` is on a disk, the database goes there; `store` is a PostgreSQL to use instead. `tree`
    is another checkout whose service is measured.
    """

    folder: Path
    seconds: float
    warm_up_seconds: float
    drain_seconds: float
    log_level: str
    store: str | None = None
    tree: Path | None = None


class Figures(Struct, frozen=True, kw_only=True):
    """What one scenario came to. Latencies in milliseconds, None where there is no callback."""

    name: str
    says: str
    jobs_per_second: float
    answer_p50_ms: float
    answer_p99_ms: float
    callback_p50_ms: float | None
    callback_p99_ms: float | None
    service_cpu_us_per_job: float | None
    service_memory_mb: float | None
    service_peak_memory_mb: float | None
    listeners: int
    memory_kb_per_listener: float | None
    cpu_share: dict[str, float]
    accepted: int
    refused: int
    first_refusal: str | None
    lost: int
    duplicates: int
    verified: int


class BenchmarkFailed(Exception):
    """A scenario could not be measured; the message says why."""


def _environment(terms: Terms) -> dict[str, str]:
    environment = {
        "DISPATCHER_LOG_LEVEL": terms.log_level,
        "DISPATCHER_LIMIT_STREAMS_AT_ONCE": "1000000",
        "DISPATCHER_LIMIT_STREAMS_OF_CALLER": "1000000",
    }
    if terms.store is not None:
        environment["DISPATCHER_STORE"] = terms.store
        environment["DISPATCHER_SECRET_KEY"] = f"dsk_{'A' * 43}"
    return environment


async def run(scenario: Scenario, terms: Terms) -> Figures:
    """Measure one scenario in a folder of its own.

    Raises:
        BenchmarkFailed: a process ended early.
        ServiceDied: the service did not start.
    """
    folder = terms.folder / scenario.name.replace(" ", "-")
    folder.mkdir(parents=True)
    match scenario.target:
        case Target.SERVICE:
            return await _service(scenario, terms, folder)
        case Target.BARE:
            port = free_port()
            with _process("bare", str(port)) as bare:
                order = _order(scenario, terms, folder, port, {"service": bare.pid})
                measured = await _generate(order)
                return _figures(scenario, measured, None, _memory(bare.pid), 0)
        case Target.RECEIVER:
            return await _receiver_alone(scenario, terms, folder)


async def _service(scenario: Scenario, terms: Terms, folder: Path) -> Figures:
    ports = [free_port() for _ in range(scenario.destinations)]
    origins = [f"http://127.0.0.1:{port}" for port in ports]
    service = Service(
        folder,
        allow=origins,
        environment=_environment(terms),
        log_file=folder / "service.log",
        tree=terms.tree,
    )
    with _receiver(ports, folder) as (receiver, feedback):
        try:
            caller = await service.create_caller("benchmark")
            other = await service.create_caller("flood")
            await service.start()
            order = msgspec.structs.replace(
                _order(
                    scenario,
                    terms,
                    folder,
                    service.port,
                    {"service": service.pid, "receiver": receiver.pid},
                ),
                api_key=caller.api_key,
                callback_urls=[f"{origin}/callbacks" for origin in origins],
                feedback=feedback,
            )
            async with _listening(scenario, service) as each_kb:
                flood = asyncio.create_task(_flood(scenario, order, other.api_key, folder))
                measured = await _generate(order)
                await flood
                memory = _memory(service.pid)
            await service.stop(60)
        finally:
            service.end()
        findings = _findings(receiver, folder)
    verified = _verified(findings, caller.secret)
    return _figures(scenario, measured, findings, memory, verified, each_kb)


@contextlib.asynccontextmanager
async def _listening(scenario: Scenario, service: Service) -> AsyncIterator[float | None]:
    """Streams of events of a caller of its own, while this is entered; what each costs, in KB."""
    if not scenario.listeners:
        yield None
        return
    caller = await service.create_caller("listeners")
    async with Api(service.url, caller.api_key) as api:
        waits = {"type": "dispatcher.echo", "input": None, "delaySeconds": 86_400}
        job = (await api.submit(waits)).json
    before = _memory(service.pid)
    paths = [f"/v1/jobs/{job['id']}/events", "/v1/events"]
    order = ListenersOrder(service.port, caller.api_key, paths, scenario.listeners)
    with _process("listeners", _encoded(order)):
        after = _memory(service.pid)
        if before is None or after is None:
            yield None
        else:
            yield (after[0] - before[0]) * 1024 / scenario.listeners


async def _flood(
    scenario: Scenario, order: GeneratorOrder, api_key: str, folder: Path
) -> Measured | None:
    """What another caller submits for as long as is measured; None: there is none."""
    if not scenario.flood:
        return None
    return await _generate(
        msgspec.structs.replace(
            order,
            measured=str(folder / "flood.json"),
            api_key=api_key,
            callback_urls=[],
            connections=scenario.flood,
            in_flight=scenario.flood,
            drain_seconds=5,
            feedback=None,
            pids={},
        )
    )


async def _receiver_alone(scenario: Scenario, terms: Terms, folder: Path) -> Figures:
    port = free_port()
    with _process(
        "receiver", _encoded(ReceiverOrder([port], str(folder / "findings.json")))
    ) as receiver:
        order = _order(scenario, terms, folder, port, {"receiver": receiver.pid})
        measured = await _generate(msgspec.structs.replace(order, accepted="204"))
        return _figures(scenario, measured, None, None, 0)


def _order(
    scenario: Scenario, terms: Terms, folder: Path, port: int, pids: dict[str, int]
) -> GeneratorOrder:
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
    )


def order_of_goods(size: int) -> str:
    """An input of `size` bytes of JSON that looks like what APIs are sent."""
    lines: list[dict[str, object]] = []

    def text(note: str) -> str:
        return msgspec.json.encode({"order": "A-1001", "lines": lines, "note": note}).decode()

    line: dict[str, object] = {"sku": "4006381333931", "quantity": 3, "price": 12.5, "tax": 0.19}
    while len(text("")) + 80 < size:
        lines.append({"line": len(lines) + 1, **line})
    return text("x" * max(0, size - len(text(""))))


def _encoded(order: Struct) -> str:
    return msgspec.json.encode(order).decode()


# --- The processes -----------------------------------------------------------------------------


@contextlib.contextmanager
def _process(
    module: str, argument: str, inherited: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A process of the benchmark, once it has said `ready`; it ends when its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"scripts.benchmark.{module}", argument],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=inherited,
    )
    try:
        assert process.stdout is not None  # noqa: S101  # it was opened as a pipe
        if process.stdout.readline().strip() != "ready":
            raise BenchmarkFailed(f"{module} did not start")
        yield process
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        process.kill()
        process.wait()


@contextlib.contextmanager
def _receiver(ports: list[int], folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The receiver, and the end of the pipe that it tells arrivals through."""
    read_end, write_end = os.pipe()
    order = ReceiverOrder(ports, str(folder / "findings.json"), write_end)
    try:
        with _process("receiver", _encoded(order), (write_end,)) as process:
            yield process, read_end
    finally:
        os.close(read_end)
        os.close(write_end)


def _findings(receiver: subprocess.Popen[str], folder: Path) -> Findings:
    receiver.communicate(timeout=30)
    return _read(str(folder / "findings.json"), Findings)


async def _generate(order: GeneratorOrder) -> Measured:
    done = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-m",
            "scripts.benchmark.generator",
            _encoded(order),
        ],
        cwd=ROOT,
        check=False,
        pass_fds=() if order.feedback is None else (order.feedback,),
    )
    if done.returncode != 0:
        raise BenchmarkFailed("the load generator lost a connection; its error stands above")
    return _read(order.measured, Measured)


def _read(file: str, kind: type[T]) -> T:
    return msgspec.json.decode(Path(file).read_bytes(), type=kind)


def _memory(pid: int) -> tuple[float, float] | None:
    """Resident megabytes now, and at the peak."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024


# --- The sums ----------------------------------------------------------------------------------


def _verified(findings: Findings, secret: str) -> int:
    """How many of the sampled callbacks the public verifier accepts: all, or this raises."""
    for sample in findings.samples:
        Webhook(secret).verify(sample.body, _headers(sample))
    return len(findings.samples)


def _headers(sample: Sample) -> dict[str, str]:
    lines = sample.head.split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def _figures(
    scenario: Scenario,
    measured: Measured,
    findings: Findings | None,
    memory: tuple[float, float] | None,
    verified: int,
    each_kb: float | None = None,
) -> Figures:
    span = measured.end_at - measured.begin_at
    arrived = findings.arrived_at if findings else measured.answered_at
    over = sum(1 for at in arrived if measured.begin_at <= at < measured.end_at)
    window = [
        n for n, at in enumerate(measured.sent_at) if measured.begin_at <= at < measured.end_at
    ]
    answers = sorted(
        measured.answered_at[n] - measured.sent_at[n] for n in window if measured.accepted[n]
    )
    callbacks = sorted(
        arrived[n] - measured.sent_at[n] for n in window if n < len(arrived) and arrived[n]
    )
    accepted = [n for n, yes in enumerate(measured.accepted) if yes]
    lost = sum(1 for n in accepted if n >= len(arrived) or not arrived[n]) if findings else 0
    service = measured.cpu_seconds.get("service")
    return Figures(
        name=scenario.name,
        says=scenario.says,
        jobs_per_second=over / span,
        answer_p50_ms=_percentile(answers, 0.5),
        answer_p99_ms=_percentile(answers, 0.99),
        callback_p50_ms=_percentile(callbacks, 0.5) if findings else None,
        callback_p99_ms=_percentile(callbacks, 0.99) if findings else None,
        service_cpu_us_per_job=service / over * 1e6 if service is not None and over else None,
        service_memory_mb=memory[0] if memory else None,
        service_peak_memory_mb=memory[1] if memory else None,
        listeners=scenario.listeners,
        memory_kb_per_listener=each_kb,
        cpu_share={name: used / span for name, used in measured.cpu_seconds.items()},
        accepted=len(accepted),
        refused=measured.refused,
        first_refusal=measured.first_refusal,
        lost=lost,
        duplicates=findings.duplicates if findings else 0,
        verified=verified,
    )


def _percentile(ordered: list[float], share: float) -> float:
    """In milliseconds; the smallest value that `share` of all do not exceed."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000
