"""Hints between the processes that share a store: where it may be worth to look again.

This docstring is the contract. A hint says that something may have changed, and never what. It may
be lost, come late, twice, in any order, or for nothing. So nothing depends on one: whoever hears it
reads the store and believes that alone, and whoever does not hear it finds out by a slow look of
its own. Hints are published after the commit that they tell of, and never come back to whoever
published them. When some may have been lost (a connection was made anew, or there were too many)
whoever listens hears `Topic.ANYTHING`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias


class Topic(StrEnum):
    """What may have changed; the values are what goes over the wire, one character each."""

    ANYTHING = "*"
    JOB = "j"
    """What is shown of a job: its id."""
    PROGRESS = "p"
    """The progress of a job that no event is stored of: its id."""
    EVENTS = "e"
    """The feed of a caller: its id."""
    WORK = "w"
    """Jobs may be claimed: of a type, or of any if it is empty."""
    SENDING = "s"
    """Deliveries may be claimed."""
    CANCEL = "c"
    """A job was asked to stop: its id."""
    CALLER = "k"
    """A caller's limits, keys or secrets: its id."""
    ENDPOINT = "h"
    """The secrets of a registered endpoint: its id."""
    SERVICE_KEYS = "v"
    """The service's own keys."""
    TYPES = "t"
    """The types of job that there are; heard, too, whenever another process has come."""


EVERY_TOPIC: Final = frozenset(Topic)


class Hint(NamedTuple):
    """One hint; `id` is what the topic says, or empty."""

    topic: Topic
    id: str = ""


Hear: TypeAlias = Callable[[Hint], None]
"""Called on the event loop with each hint of others; must be quick and must not raise."""


class Hints(Protocol):
    """Tells other processes, and hears them."""

    def publish(self, topic: Topic, id: str = "") -> None:  # noqa: A002  # the field's own word
        """Tell the others, soon, and the same once. Quick, and never raises.

        An `id` has no space in it. While nobody else listens to that topic nothing is sent.
        """
        ...

    def listening(
        self, hear: Hear, topics: frozenset[Topic] = EVERY_TOPIC
    ) -> AbstractAsyncContextManager[None]:
        """Hear what others publish of these topics, for as long as the block lasts."""
        ...
