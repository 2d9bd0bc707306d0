"""Draws docs/explanation/states.md from the transition tables of `lifecycle.py` and `breaker.py`.

`python scripts/states.py` writes the page; `--check` writes nothing and ends with 1 if it differs.
A word on each transition stands here; one that is missing, or too many, is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from dispatcher.core.breaker import BREAKER_TRANSITIONS, BreakerState
from dispatcher.core.lifecycle import (
    DELIVERY_TRANSITIONS,
    FINAL_DELIVERY_STATES,
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
    TERMINAL_EVENT,
    shown_status,
)
from dispatcher.core.model import DeliveryState, Job, JobState

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "states.md"

GUARD: Final = (
    "A job and each of its callbacks move through the states below and in no other way. Every "
    "change names the state and the lease that it was decided for, and is applied only if both "
    "still hold: a worker that comes too late changes nothing."
)

State = TypeVar("State", bound=StrEnum)

JOB_BEGINS: Final = {
    JobState.WAITING: "accepted",
    JobState.RUNNING: "accepted and handed off",
}
JOB_WORDS: Final = {
    (JobState.WAITING, JobState.RUNNING): "claimed, one more attempt",
    (JobState.WAITING, JobState.CANCELED): "canceled by request",
    (JobState.WAITING, JobState.EXPIRED): "startBy or deadline passed",
    (JobState.RUNNING, JobState.WAITING): "failed, snoozed, given back or lost",
    (JobState.RUNNING, JobState.RUNNING): "lost and claimed again",
    (JobState.RUNNING, JobState.SUCCEEDED): "result",
    (JobState.RUNNING, JobState.FAILED): "Fail, or the last attempt failed",
    (JobState.RUNNING, JobState.CANCELED): "Cancel, or canceled by request",
    (JobState.RUNNING, JobState.EXPIRED): "deadline passed",
}

DELIVERY_BEGINS: Final = {
    DeliveryState.PENDING: "owed",
    DeliveryState.SENDING: "owed and handed off",
}
DELIVERY_WORDS: Final = {
    (DeliveryState.PENDING, DeliveryState.SENDING): "claimed",
    (DeliveryState.PENDING, DeliveryState.DEAD): "30 days old, or since it was redelivered",
    (DeliveryState.PENDING, DeliveryState.CANCELED): "canceled, or its job has ended",
    (DeliveryState.SENDING, DeliveryState.PENDING): "failed, or given back",
    (DeliveryState.SENDING, DeliveryState.SENDING): "lost and claimed again",
    (DeliveryState.SENDING, DeliveryState.DELIVERED): "2xx",
    (DeliveryState.SENDING, DeliveryState.DEAD): "last attempt, 410 or refused address",
    (DeliveryState.SENDING, DeliveryState.CANCELED): "failed, and asked to cancel",
    (DeliveryState.DELIVERED, DeliveryState.PENDING): "redelivered",
    (DeliveryState.DEAD, DeliveryState.PENDING): "redelivered",
    (DeliveryState.DEAD, DeliveryState.CANCELED): "canceled, so that those behind it may go",
    (DeliveryState.CANCELED, DeliveryState.PENDING): "redelivered",
}


BREAKER: Final = (
    "Each destination has a breaker, and so has each URL of it that has failed. One against which "
    "nothing speaks is closed, and is not stored at all."
)
BREAKER_BEGINS: Final = {BreakerState.CLOSED: "the first failure"}
BREAKER_WORDS: Final = {
    (BreakerState.CLOSED, BreakerState.OPEN): "failures in a row, or too many in a window",
    (BreakerState.OPEN, BreakerState.OPEN): "the probe failed: open for longer",
    (BreakerState.OPEN, BreakerState.HALF_OPEN): "the probe landed: 2, 4, 8 … at once",
    (BreakerState.OPEN, BreakerState.CLOSED): "the probe landed, and that is all there is room for",
    (BreakerState.HALF_OPEN, BreakerState.OPEN): "too many of a step failed: open for longer",
    (BreakerState.HALF_OPEN, BreakerState.CLOSED): "all slots are in use again",
}


def page() -> str:
    """The whole page, in Markdown."""
    return "\n\n".join(
        (
            "# States",
            "<!-- Drawn by scripts/states.py from lifecycle.py and breaker.py: don't edit. -->",
            GUARD,
            "## Jobs",
            _diagram(JOB_TRANSITIONS, JOB_WORDS, JOB_BEGINS, FINAL_JOB_STATES),
            _table(JOB_TRANSITIONS, JOB_WORDS),
            "A job that is done never changes state again. Its end is told by an event:",
            _rows(("state", "event"), ((s.value, e.value) for s, e in TERMINAL_EVENT.items())),
            "Callers see a `waiting` job by what it waits for; every other state as it is:",
            _shown(),
            "## Deliveries",
            _diagram(DELIVERY_TRANSITIONS, DELIVERY_WORDS, DELIVERY_BEGINS, FINAL_DELIVERY_STATES),
            _table(DELIVERY_TRANSITIONS, DELIVERY_WORDS),
            "How a delivery fares never changes its job.",
            "## Breakers",
            BREAKER,
            _diagram(BREAKER_TRANSITIONS, BREAKER_WORDS, BREAKER_BEGINS, frozenset()),
            _table(BREAKER_TRANSITIONS, BREAKER_WORDS) + "\n",
        )
    )


def _moves(table: Mapping[State, frozenset[State]]) -> list[tuple[State, State]]:
    """The transitions in the order in which the states are declared."""
    return [(a, b) for a in table for b in type(a) if b in table[a]]


def _word(words: Mapping[tuple[State, State], str], move: tuple[State, State]) -> str:
    if move not in words:
        raise SystemExit(f"scripts/states.py has no word on {move[0].value} -> {move[1].value}")
    return words[move]


def _diagram(
    table: Mapping[State, frozenset[State]],
    words: Mapping[tuple[State, State], str],
    begins: Mapping[State, str],
    final: frozenset[State],
) -> str:
    moves = _moves(table)
    if extra := set(words) - set(moves):
        named = ", ".join(f"{a.value} -> {b.value}" for a, b in sorted(extra))
        raise SystemExit(f"scripts/states.py has words on transitions that are not made: {named}")
    lines = [f"    [*] --> {state.value}: {word}" for state, word in begins.items()]
    lines += [f"    {a.value} --> {b.value}: {_word(words, (a, b))}" for a, b in moves]
    lines += [f"    {state.value} --> [*]" for state in table if state in final]
    return "\n".join(("```mermaid", "stateDiagram-v2", *lines, "```"))


def _table(
    table: Mapping[State, frozenset[State]], words: Mapping[tuple[State, State], str]
) -> str:
    moves = _moves(table)
    return _rows(
        ("from", "to", "when"), ((a.value, b.value, _word(words, (a, b))) for a, b in moves)
    )


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown() -> str:
    """What `shown_status` makes of a waiting job, asked for each case."""
    cases = (
        ("its due time is to come", 1, False),
        ("its due time is to come, after an attempt that failed", 1, True),
        ("it is due", 0, False),
        ("it is due, after an attempt that failed", 0, True),
    )
    return _rows(
        ("a waiting job", "shown as"),
        (
            (when, shown_status(_waiting_job(due_at, retrying=retrying), 0).value)
            for when, due_at, retrying in cases
        ),
    )


def _waiting_job(due_at: int, *, retrying: bool) -> Job:
    return Job(
        id="",
        caller_id="",
        type="",
        queue="",
        priority=5,
        state=JobState.WAITING,
        attempt_count=int(retrying),
        max_attempts=3,
        timeout_seconds=600.0,
        retention_seconds=0.0,
        created_at=0,
        due_at=due_at,
        retrying=retrying,
    )


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; the exit status."""
    drawn = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text("utf-8") == drawn:
            return 0
        print("docs/explanation/states.md is out of date: run scripts/states.py", file=sys.stderr)
        return 1
    if arguments:
        print("usage: scripts/states.py [--check]", file=sys.stderr)
        return 2
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(drawn, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
