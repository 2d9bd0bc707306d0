"""What is quick enough to be run on the event loop's thread: see `writer`.

A few rows that were written a moment ago, or a few new ones. Everything else may read pages that
are not in memory, or touch more rows than one can say, and so is left to the thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.core.changes import Audited, Change, FinishJob, NoteProgress, RecordAttempt
from dispatcher.core.model import INLINE_RESULT_BYTES
from dispatcher.ports.records import NewJob

MOST_ITEMS: Final = 16
"""A call with more takes longer than a millisecond."""

LARGEST_BYTES: Final = INLINE_RESULT_BYTES
"""Of an input or a result: a larger one fills pages by the dozen."""

MOST_ENDPOINTS: Final = 16
"""Of a caller, to whom an event is owed: each costs rows of its own. Only the store knows them, so
a batch that comes upon more is taken back, and left to the thread."""


_QUICK: Final = (RecordAttempt, NoteProgress)


def are_quick_to_add(jobs: Sequence[NewJob]) -> bool:
    """Whether adding them is quick."""
    return len(jobs) <= MOST_ITEMS and all([len(new.input) <= LARGEST_BYTES for new in jobs])  # noqa: C419  # a list: quicker for one


def are_quick_to_apply(changes: Sequence[Change | Audited]) -> bool:
    """Whether applying them is quick."""
    if len(changes) == 1:  # nearly always
        return _is_quick(changes[0])
    return len(changes) <= MOST_ITEMS and all([_is_quick(each) for each in changes])  # noqa: C419  # as above


def _is_quick(change: Change | Audited) -> bool:
    if isinstance(change, FinishJob):
        return change.result is None or len(change.result) <= LARGEST_BYTES
    return isinstance(change, _QUICK)
