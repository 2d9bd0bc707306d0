"""The scenarios of the suite. Adding one is adding a few lines to `SCENARIOS`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Target(StrEnum):
    """Whom the generator sends its submissions to."""

    SERVICE = "service"
    BARE = "bare"
    RECEIVER = "receiver"


class Scenario(Struct, frozen=True, kw_only=True):
    """One measurement.

    `connections` carry the submissions; `in_flight` is how many jobs are at most between their
    submission and their callback. `input_bytes` is the size of a job's input as JSON. Meanwhile
    another caller submits over `flood` connections as fast as it is answered, without callbacks;
    its jobs are not in the figures. `listeners` keep streams of events open, of a job that waits
    and of a caller for whom nothing happens. `sender` is the setting of that name.
    """

    name: str
    says: str
    target: Target = Target.SERVICE
    type: str = "dispatcher.echo"
    input_bytes: int = 1_024
    connections: int = 64
    in_flight: int = 256
    destinations: int = 1
    flood: int = 0
    listeners: int = 0
    sender: str = "narrow"


WHOLE_PATH: Final = "whole path"
BARE: Final = "bare aiohttp"

SCENARIOS: Final = (
    Scenario(
        name="receiver ceiling",
        says="generator straight to receiver: what the two could do",
        target=Target.RECEIVER,
    ),
    Scenario(
        name=BARE,
        says="generator to an aiohttp handler that answers 202 and does nothing",
        target=Target.BARE,
    ),
    Scenario(
        name=WHOLE_PATH,
        says="submission, commit, 202, echo, commit, signed callback to one of 8 origins, commit",
        destinations=8,
    ),
    Scenario(
        name="whole path over aiohttp",
        says="the same with the sender that the narrow one is compared with",
        destinations=8,
        sender="aiohttp",
    ),
    Scenario(
        name="many listeners",
        says="the whole path while 10,000 streams of events are open",
        destinations=8,
        listeners=10_000,
    ),
    Scenario(
        name="one receiver",
        says="the same to a single origin: its 16 slots bound what one commit can carry",
    ),
    Scenario(
        name="one at a time",
        says="the whole path with a single job in flight: latency when idle",
        connections=1,
        in_flight=1,
    ),
    Scenario(
        name="beside a flood",
        says="the same while another caller submits all it can: its backlog is not waited for",
        connections=1,
        in_flight=1,
        flood=32,
    ),
)
