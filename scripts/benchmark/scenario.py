"""The scenarios of the suite. Adding one is adding a few lines to `SCENARIOS`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Target(StrEnum):
    """What is measured: the service, or what stands beside it to be compared with."""

    SERVICE = "service"
    BARE = "bare"
    RECEIVER = "receiver"
    CLIENT = "client"
    COMMITS = "commits"


class Part(StrEnum):
    """How much of the path is measured. Accepted jobs that are not run wait for tomorrow."""

    WHOLE = "whole"
    ACCEPT = "accept"
    DELIVER = "deliver"


class Scenario(Struct, frozen=True, kw_only=True):
    """One measurement.

    `connections` carry the submissions; `in_flight` is how many jobs are at most between their
    submission and their callback. With a `share` jobs are submitted at that part of the whole
    path's rate in this run, whatever has been answered; `paced` does so at the rate of `--rate`.
    `input_bytes` is the size of a job's input as JSON.

    Meanwhile another caller submits over `flood` connections as fast as it is answered, without
    callbacks; its jobs are not in the figures, and neither are the `hanging` ones a second whose
    receiver takes connections and never answers. `listeners` keep streams of events open (or, if
    they `poll`, long polls), of a job that waits and of a caller for whom nothing happens.

    `finished` and `waiting` parts of `--rows` are in the store before: jobs that ended and were
    delivered, and such whose callback waits for a receiver that is down. `limits` are the baselines
    whose work a job does, and how many times: their costs added up are the limit of one core.
    `sender` is the setting of that name. `keys` is how many ordering keys the jobs have in turn;
    then their callbacks are ordered by them. `delivery_rate` is what may go to one destination a
    second. The receiver answers one of `fails_each` with 500. If it is `registered` it is the
    caller's endpoint, and the jobs have no callbacks of their own.
    """

    name: str
    says: str
    target: Target = Target.SERVICE
    part: Part = Part.WHOLE
    type: str = "dispatcher.echo"
    input_bytes: int = 1_024
    connections: int = 64
    in_flight: int = 256
    destinations: int = 1
    flood: int = 0
    hanging: float = 0
    listeners: int = 0
    poll: bool = False
    share: float | None = None
    paced: bool = False
    tls: bool = False
    cold: bool = False
    finished: float = 0
    waiting: float = 0
    processes: int = 1
    stamped: bool = False
    commits: int = 1
    sender: str | None = None
    keys: int = 0
    delivery_rate: float | None = None
    fails_each: int = 0
    registered: bool = False
    limits: tuple[tuple[str, float], ...] = ()


WHOLE_PATH: Final = "whole path"
BARE: Final = "bare aiohttp"
RECEIVER: Final = "receiver ceiling"
CLIENT: Final = "aiohttp posts"
ONE_BY_ONE: Final = "commits one by one"
BY_HUNDREDS: Final = "commits by the hundred"
STAMPED: Final = "benchmark.stamp"

ACCEPTING: Final = ((BARE, 1.0), (BY_HUNDREDS, 2.0))
"""An exchange, and two rows: the job and its input."""
DELIVERING: Final = ((RECEIVER, 1.0), (BY_HUNDREDS, 1.0))
"""An exchange, and one row."""
PATH: Final = ((BARE, 1.0), (RECEIVER, 1.0), (BY_HUNDREDS, 5.0))
"""Two exchanges, and five rows: job, input, result, event, delivery."""

BASELINES: Final = (
    Scenario(
        name=RECEIVER,
        says="bare POSTs: generator straight to receiver, which is what the two could do",
        target=Target.RECEIVER,
    ),
    Scenario(
        name=BARE,
        says="generator to an aiohttp handler that answers 202 and does nothing",
        target=Target.BARE,
    ),
    Scenario(
        name=CLIENT,
        says="aiohttp's client posts to the receiver, 64 at once, and does nothing else",
        target=Target.CLIENT,
    ),
    Scenario(
        name=ONE_BY_ONE,
        says="rows of 1 KB into SQLite (WAL, FULL), a commit each",
        target=Target.COMMITS,
    ),
    Scenario(
        name=BY_HUNDREDS,
        says="the same, a hundred rows a commit",
        target=Target.COMMITS,
        commits=100,
    ),
)

PATHS: Final = (
    Scenario(
        name=WHOLE_PATH,
        says="submission, commit, 202, echo, commit, signed callback to one of 8 origins, commit",
        destinations=8,
        limits=PATH,
    ),
    Scenario(
        name="whole path over aiohttp",
        says="the whole path with the sender that the narrow one is compared with",
        destinations=8,
        sender="aiohttp",
    ),
    Scenario(
        name="open loop",
        says="the same at a fixed rate (--rate); latencies count from the intended instant",
        destinations=8,
        paced=True,
    ),
    Scenario(
        name="at 80 %",
        says="the same at 80 % of what the whole path carried in this run",
        destinations=8,
        share=0.8,
    ),
    Scenario(
        name="accept only",
        says="submission, commit, 202: the jobs wait for tomorrow",
        part=Part.ACCEPT,
        limits=ACCEPTING,
    ),
    Scenario(
        name="deliver only",
        says="a prepared backlog of callbacks to 8 origins, from the moment they may be sent",
        part=Part.DELIVER,
        destinations=8,
        limits=DELIVERING,
    ),
    Scenario(
        name="two processes",
        says="the whole path through two processes on one PostgreSQL",
        destinations=8,
        processes=2,
        limits=PATH,
    ),
)

SHAPES: Final = (
    Scenario(
        name="20 KB",
        says="the whole path with inputs of 20 KB",
        input_bytes=20_000,
        destinations=8,
    ),
    Scenario(
        name="1 MB",
        says="the whole path with inputs of 1 MB, 4 in flight",
        input_bytes=1_000_000,
        connections=4,
        in_flight=4,
        destinations=8,
    ),
    Scenario(
        name="one receiver",
        says="the whole path to a single origin: its 32 slots bound what one commit can carry",
    ),
    Scenario(
        name="registered",
        says="the same by a registered endpoint, in place of each job's callback URL",
        registered=True,
    ),
    Scenario(
        name="100 destinations",
        says="the whole path to 100 origins in turn",
        destinations=100,
    ),
    Scenario(
        name="10,000 destinations",
        says="the whole path to 10,000 origins in turn",
        destinations=10_000,
    ),
    Scenario(
        name="in order",
        says="the whole path with callbacks in order, of a thousand keys in turn",
        destinations=8,
        keys=1_000,
    ),
    Scenario(
        name="by a rate",
        says="the whole path with a rate for each destination that holds nobody back",
        destinations=8,
        delivery_rate=100_000,
    ),
    Scenario(
        name="now and then a 500",
        says="the whole path to receivers that answer one callback of fifty with 500",
        destinations=8,
        fails_each=50,
    ),
    Scenario(
        name="TLS",
        says="the whole path to 8 origins over TLS, connections kept",
        destinations=8,
        tls=True,
    ),
    Scenario(
        name="cold",
        says="the whole path to 8 receivers that close after each answer",
        destinations=8,
        cold=True,
    ),
    Scenario(
        name="cold TLS",
        says="the same over TLS: a handshake a callback",
        destinations=8,
        tls=True,
        cold=True,
    ),
)

COMPANY: Final = (
    Scenario(
        name="beside a hanging receiver",
        says="at the fixed rate, while 50 jobs a second go to a receiver that never answers",
        destinations=8,
        paced=True,
        hanging=50,
    ),
    Scenario(
        name="many listeners",
        says="the whole path while 10,000 streams of events are open",
        destinations=8,
        listeners=10_000,
    ),
    Scenario(
        name="many long polls",
        says="the whole path while 10,000 long polls wait",
        destinations=8,
        listeners=10_000,
        poll=True,
    ),
    Scenario(
        name="finished jobs",
        says="the whole path with --rows finished jobs in the store",
        destinations=8,
        finished=1,
        limits=PATH,
    ),
    Scenario(
        name="waiting deliveries",
        says="the whole path with --rows callbacks waiting for a receiver that is down",
        destinations=8,
        waiting=1,
        limits=PATH,
    ),
    Scenario(
        name="one at a time",
        says="the whole path with a single job in flight: latency when idle",
        connections=1,
        in_flight=1,
    ),
    Scenario(
        name="idle",
        says="the same with a handler that says when it returned: from there to the callback",
        type=STAMPED,
        connections=1,
        in_flight=1,
        stamped=True,
    ),
    Scenario(
        name="beside a flood",
        says="one at a time while another caller submits all it can: its backlog is not waited for",
        connections=1,
        in_flight=1,
        flood=32,
    ),
)

SCENARIOS: Final = (*BASELINES, *PATHS, *SHAPES, *COMPANY)
