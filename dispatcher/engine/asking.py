"""One question that several wait for: asked once, and answered to each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from dispatcher.core.errors import SecretsUnreadable, StoreError

Answer = TypeVar("Answer")


def ask(question: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
    """Ask in a task of its own; if nobody waits for a failure any more, it is no warning."""
    asking = asyncio.get_running_loop().create_task(question)
    asking.add_done_callback(_heard)
    return asking


def _heard(asking: asyncio.Task[Any]) -> None:
    if not asking.cancelled():
        asking.exception()


async def answer_of(asking: asyncio.Task[Answer]) -> Answer:
    """Wait for it; who goes away leaves it to the others.

    Whoever waits has a failure of its own: an exception that tasks share has all their tracebacks.
    """
    try:
        return await asyncio.shield(asking)
    except (StoreError, SecretsUnreadable) as error:
        raise type(error)(*error.args) from None
