"""What is kept of deliveries that wait, and when it is not used."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.adapters.sqlite.waiting import MOST_KEPT, Waiting
from dispatcher.core.model import (
    Callback,
    Delivery,
    DeliveryState,
    Event,
    EventType,
    Job,
    JobState,
)
from dispatcher.ports.records import LeasedDelivery
from dispatcher.testing.conformance.values import ANN, MAIL, ORIGIN, a_callback

AS_MADE = [7, 0, 0, 1]


def made_of(
    number: int = 1,
    *,
    result: bytes | None = b"{}",
    metadata: dict[str, str] | None = None,
    callback: Callback | None = None,
) -> LeasedDelivery:
    job = Job(
        id=f"job_{number}",
        caller_id=ANN,
        type=MAIL,
        queue="default",
        priority=5,
        state=JobState.SUCCEEDED,
        attempt_count=1,
        max_attempts=1,
        timeout_seconds=1.0,
        retention_seconds=1.0,
        created_at=0,
        due_at=0,
        callback=callback or a_callback(),
        metadata=metadata,
    )
    event = Event(
        id=f"evt_{number}",
        job_id=job.id,
        caller_id=ANN,
        type=EventType.JOB_SUCCEEDED,
        sequence=1,
        at=0,
        links_base="",
    )
    delivery = Delivery(
        id=f"dlv_{number}",
        event_id=event.id,
        event_type=event.type,
        job_id=job.id,
        caller_id=ANN,
        url=f"{ORIGIN}/hook",
        origin=ORIGIN,
        state=DeliveryState.PENDING,
        created_at=0,
        due_at=7,
    )
    return LeasedDelivery(delivery, "", event, job, result)


def test_what_is_kept_serves_one_lease() -> None:
    waiting = Waiting()
    waiting.keep(made_of(1))
    waiting.keep(made_of(2))
    taken = waiting.take("dlv_2", "lse_1", AS_MADE)
    sending = replace(made_of(2).delivery, state=DeliveryState.SENDING)
    assert taken == replace(made_of(2), delivery=sending, lease="lse_1")
    assert waiting.take("dlv_2", "lse_2", AS_MADE) is None
    assert waiting.take("dlv_3", "lse_3", AS_MADE) is None


@pytest.mark.parametrize("stands", [[8, 0, 0, 1], [7, 1, 0, 1], [7, 0, 1, 1], [7, 0, 0, 2]])
def test_what_is_kept_is_not_used_if_the_row_moved_on(stands: list[int]) -> None:
    waiting = Waiting()
    waiting.keep(made_of())
    assert waiting.take("dlv_1", "lse_1", stands) is None


def test_the_oldest_gives_way() -> None:
    waiting = Waiting()
    for number in range(MOST_KEPT + 1):
        waiting.keep(made_of(number))
    assert waiting.take("dlv_0", "lse_1", AS_MADE) is None
    assert waiting.take("dlv_1", "lse_2", AS_MADE) is not None


@pytest.mark.parametrize(
    "large",
    [
        made_of(result=b'"%b"' % (b"x" * 4_096)),
        made_of(metadata={f"key {number}": "\N{SPOOL OF THREAD}" * 512 for number in range(50)}),
        made_of(callback=replace(a_callback(), sealed_headers=b"x" * 4_097)),
    ],
    ids=["result", "metadata", "headers"],
)
def test_what_is_large_is_not_kept(large: LeasedDelivery) -> None:
    waiting = Waiting()
    waiting.keep(large)
    assert waiting.take("dlv_1", "lse_1", AS_MADE) is None
