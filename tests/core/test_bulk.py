"""The orders of bulk operations: what their input may say, and what it means."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from dispatcher.core.bulk import BulkKind, BulkOrder, read_order, schema_of
from dispatcher.core.errors import InvalidFields
from dispatcher.core.lifecycle import FINAL_DELIVERY_STATES, FINAL_JOB_STATES
from dispatcher.core.model import DeliveryState, EventType, JobStatus

CALLER = "clr_" + "a" * 32
TIME = "2026-01-31T09:30:00Z"
INSTANT = 1_769_851_800_000


def fits(kind: BulkKind, asked: Any) -> bool:
    validator = jsonschema_rs.validator_for(json.loads(schema_of(kind)))
    answer: bool = validator.is_valid(asked)
    return answer


def read(kind: BulkKind, **asked: Any) -> BulkOrder:
    assert fits(kind, asked), asked
    return read_order(kind, json.dumps(asked).encode())


class TestWhatIsMeant:
    def test_without_a_word_the_dead_the_failed_and_all_that_is_open(self) -> None:
        redeliver, replay, cancel = BulkKind
        assert read(redeliver) == BulkOrder(kind=redeliver, state=DeliveryState.DEAD)
        assert read(replay) == BulkOrder(kind=replay, status=JobStatus.FAILED)
        assert read(cancel) == BulkOrder(kind=cancel)

    @pytest.mark.parametrize("kind", BulkKind)
    def test_what_the_schema_calls_a_default_is_meant_without_a_word(self, kind: BulkKind) -> None:
        members = json.loads(schema_of(kind))["properties"]
        defaults = {name: each["default"] for name, each in members.items() if "default" in each}
        assert read(kind, **defaults) == read(kind)
        assert set(defaults) == {"dryRun"} | (set() if kind is BulkKind.CANCEL else {"status"})

    def test_every_member_of_an_order_about_deliveries_is_read(self) -> None:
        asked = {
            "status": "delivered",
            "eventType": "job.failed",
            "url": "https://a.example/",
            "createdAfter": TIME,
            "createdBefore": "2026-01-31T10:30:00.5+01:00",
            "callerId": CALLER,
            "dryRun": True,
        }
        assert read(BulkKind.REDELIVER, **asked) == BulkOrder(
            kind=BulkKind.REDELIVER,
            state=DeliveryState.DELIVERED,
            event_type=EventType.JOB_FAILED,
            url="https://a.example/",
            created_after=INSTANT,
            created_before=INSTANT + 500,
            caller_id=CALLER,
            dry_run=True,
        )

    @pytest.mark.parametrize("kind", [BulkKind.REPLAY, BulkKind.CANCEL])
    def test_every_member_of_an_order_about_jobs_is_read(self, kind: BulkKind) -> None:
        status = "expired" if kind is BulkKind.REPLAY else "retrying"
        order = read(kind, status=status, type="mail.send", queue="q", createdAfter=TIME)
        assert order == BulkOrder(
            kind=kind,
            status=JobStatus(status),
            type="mail.send",
            queue="q",
            created_after=INSTANT,
        )


class TestWhatIsRefused:
    @pytest.mark.parametrize("kind", BulkKind)
    def test_every_status_that_can_be_and_no_other(self, kind: BulkKind) -> None:
        words = {str(word) for kinds in (DeliveryState, JobStatus) for word in kinds}
        taken = {word for word in words if fits(kind, {"status": word})}
        final = {JobStatus(state.value) for state in FINAL_JOB_STATES}
        expected: dict[BulkKind, set[Any]] = {
            BulkKind.REDELIVER: set(FINAL_DELIVERY_STATES),
            BulkKind.REPLAY: final,
            BulkKind.CANCEL: set(JobStatus) - final,
        }
        assert {str(word) for word in taken} == {str(word) for word in expected[kind]}
        for word in words - taken:
            with pytest.raises(InvalidFields):
                read_order(kind, json.dumps({"status": word}).encode())

    @pytest.mark.parametrize("kind", BulkKind)
    @pytest.mark.parametrize(
        "asked",
        [
            None,
            [],
            "all",
            {"colour": "red"},
            {"status": None},
            {"createdAfter": "yesterday"},
            {"createdAfter": 1_769_851_800},
            {"callerId": "clr_1"},
            {"callerId": "*"},
            {"dryRun": "true"},
            {"dryRun": 1},
        ],
    )
    def test_what_no_kind_takes(self, kind: BulkKind, asked: Any) -> None:
        assert not fits(kind, asked)

    @pytest.mark.parametrize(
        ("kind", "asked"),
        [
            (BulkKind.REDELIVER, {"type": "mail.send"}),
            (BulkKind.REDELIVER, {"queue": "q"}),
            (BulkKind.REDELIVER, {"eventType": "job.done"}),
            (BulkKind.REDELIVER, {"url": ""}),
            (BulkKind.REPLAY, {"url": "https://a.example"}),
            (BulkKind.CANCEL, {"eventType": "job.failed"}),
            (BulkKind.CANCEL, {"type": ""}),
        ],
    )
    def test_what_another_kind_takes(self, kind: BulkKind, asked: Any) -> None:
        assert not fits(kind, asked)

    def test_a_day_that_there_is_not(self) -> None:
        asked = {"createdAfter": "2026-02-31T00:00:00Z", "createdBefore": "2026-13-01T00:00:00Z"}
        assert fits(BulkKind.CANCEL, asked)
        with pytest.raises(InvalidFields) as refused:
            read_order(BulkKind.CANCEL, json.dumps(asked).encode())
        assert [each.pointer for each in refused.value.errors] == [
            "/input/createdAfter",
            "/input/createdBefore",
        ]

    def test_what_a_schema_never_let_pass(self) -> None:
        for body in (b"[]", b"{", b'{"x":1}', b'{"dryRun":null}'):
            with pytest.raises(InvalidFields):
                read_order(BulkKind.REPLAY, body)
