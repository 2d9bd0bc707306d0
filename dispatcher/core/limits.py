"""The bounds of what callers may ask for, and the defaults of what they leave out.

All of them are settings; a submission past one is refused with a pointer to the member.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.quotas import CallerLimits
from dispatcher.core.ratelimit import Rate
from dispatcher.core.urls import MAX_URL_LENGTH

DAY_SECONDS: Final = 86_400
ANY_PAGE_ITEMS: Final = 100
"""As many items of a list may be asked for at any service: one whose pages are smaller
(`page_items`) answers with one of those."""

MOST_BODY_BYTES: Final = 2**30
MOST_WAITING: Final = 1_000_000_000
MOST_BYTES_WAITING: Final = 2**50


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds in force. Sizes are bytes of JSON in UTF-8 unless they say characters.

    `body_bytes` and those from `submissions` on are what holds for a caller of whom nothing else is
    set; the latter are None: no limit. `queue_jobs` holds for a queue, of all callers.
    """

    body_bytes: int = 1_048_576
    body_depth: int = 64
    output_bytes: int = 1_048_576
    url_characters: int = MAX_URL_LENGTH
    text_characters: int = 256
    metadata_entries: int = 50
    metadata_characters: int = 512
    callback_headers: int = 20
    endpoints: int = 100
    schedule_entries: int = 50
    schedule_seconds: float = 7 * DAY_SECONDS
    max_attempts: int = 100
    timeout_seconds: float = 7 * DAY_SECONDS
    delay_seconds: float = 365 * DAY_SECONDS
    retention_seconds: float = 365 * DAY_SECONDS
    default_retention_seconds: float = 7 * DAY_SECONDS
    default_priority: int = 5
    idempotency_seconds: float = DAY_SECONDS
    submissions_at_once: int = 1_000
    waits_at_once: int = 20_000
    streams_at_once: int = 20_000
    streams_of_caller: int = 1_000
    page_items: int = 100
    default_page_items: int = 20
    submissions: int | None = None
    submissions_window_seconds: int = 60
    jobs_waiting: int | None = None
    bytes_waiting: int | None = None
    queue_jobs: int | None = None

    def unlimited(self) -> Limits:
        """The same without what is counted of callers and queues."""
        return replace(
            self, submissions=None, jobs_waiting=None, bytes_waiting=None, queue_jobs=None
        )

    @property
    def of_a_caller(self) -> CallerLimits:
        """What holds for a caller of whom nothing else is set."""
        return CallerLimits(
            rate=(
                None
                if self.submissions is None
                else Rate(self.submissions, self.submissions_window_seconds)
            ),
            jobs_waiting=self.jobs_waiting,
            bytes_waiting=self.bytes_waiting,
            body_bytes=self.body_bytes,
        )
