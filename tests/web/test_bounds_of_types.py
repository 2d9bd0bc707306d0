"""A type's own bounds beside the service's, and what is far beyond both."""

from __future__ import annotations

import pytest

from dispatcher.core.limits import Limits
from tests.web.edge import Edge

REPORT = {"type": "report.generate", "input": {"pages": 1}}


@pytest.mark.parametrize(
    ("limits", "seconds", "attempts", "whose"),
    [
        (Limits(), 120, 5, "type report.generate"),
        (Limits(timeout_seconds=100, max_attempts=4), 100, 4, "this service"),
    ],
)
async def test_the_lower_of_both_bounds_holds_and_is_named(
    limits: Limits, seconds: int, attempts: int, whose: str
) -> None:
    async with Edge(limits=limits).running() as edge:
        most = {"timeoutSeconds": seconds, "maxAttempts": attempts}
        assert (await edge.submit(REPORT | most)).status == 202
        more = {"timeoutSeconds": seconds + 1, "maxAttempts": attempts + 1}
        answer = await edge.submit(REPORT | more)
        assert answer.pointers == ["/timeoutSeconds", "/maxAttempts"]
        for error in answer.json["errors"]:
            assert error["detail"].endswith(f", the bound of {whose}.")


@pytest.mark.parametrize("delay", [1e308, 1e12, -1e308])
async def test_a_delay_beyond_all_time_is_out_of_range(edge: Edge, delay: float) -> None:
    answer = await edge.submit(REPORT | {"delaySeconds": delay})
    assert (answer.status, answer.pointers) == (422, ["/delaySeconds"])


async def test_metadata_without_entries_is_none(edge: Edge) -> None:
    answer = await edge.submit(REPORT | {"metadata": {}})
    assert (answer.status, answer.json["metadata"]) == (202, None)
