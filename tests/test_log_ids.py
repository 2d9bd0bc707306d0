"""The ids by which people search the log."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from dispatcher.adapters.logs import LogObserver
from dispatcher.adapters.runners.endings import ids_of
from dispatcher.core.facts import (
    CancelAsked,
    DeliveryCancelAsked,
    DeliverySwept,
    Fact,
    Redelivered,
)
from dispatcher.core.model import DeliveryState
from dispatcher.ports.observer import REQUEST_ID
from tests import fact_samples as samples
from tests.test_logs import DELIVERY, FACTS, JOB, OF_JOBS, Log


def test_what_a_request_did_names_it_and_what_came_of_it_later_does_not() -> None:
    log = Log("debug")
    token = REQUEST_ID.set("req_1")
    try:
        for fact in samples.FACTS:
            LogObserver().saw(fact)
    finally:
        REQUEST_ID.reset(token)
    named = {event["event"] for event in log.objects() if "requestId" in event}
    assert named == {
        "job.accepted",
        "submission.refused",
        "job.canceling",
        "delivery.redelivered",
        "delivery.canceling",
    }


def test_what_a_runner_logs_of_a_job_has_its_ids() -> None:
    """They were handed over as `extra`, and left out of the line."""
    log = Log()
    logging.getLogger("dispatcher.handlers").warning("It broke.", extra=ids_of(JOB))
    logging.getLogger("dispatcher.handlers").warning("So did this.", extra=ids_of(samples.JOB))
    first, second = log.objects()
    assert (first["jobId"], first["jobType"], first["attempt"]) == ("job_1", "csv.profile", 1)
    assert first["callerId"] == "clr_1"
    assert first["correlationId"] == "order-7"
    assert first["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert {"correlationId", "traceId", "requestId"} & set(second) == set()


def test_every_event_of_a_job_has_what_its_caller_searches_for() -> None:
    """Facts of deliveries that know their job name its trace and correlation id too."""
    log = Log("debug")
    trace = JOB.trace
    facts: list[Fact] = [
        *(each for each in FACTS if isinstance(each, OF_JOBS)),
        replace(DELIVERY, trace=trace),
        DeliverySwept(samples.DELIVERY, DeliveryState.DEAD, JOB),
        CancelAsked(JOB),
        Redelivered(samples.DELIVERY, JOB),
        DeliveryCancelAsked(samples.DELIVERY, DeliveryState.CANCELED, JOB),
    ]
    for fact in facts:
        LogObserver().saw(fact)
    found = [(e["jobId"], e["correlationId"], e["traceId"]) for e in log.objects()]
    assert found == [("job_1", "order-7", "0af7651916cd43dd8448eb211c80319c")] * len(facts)
