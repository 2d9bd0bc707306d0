"""A small body makes no huge answer, however much is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.web.faults import MAX_FAULTS
from tests.web.edge import Edge

ECHO = {"type": "dispatcher.echo", "input": {"hello": "world"}}
URL = "https://receiver.example/callbacks"


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {f"{number}": "x" * 513 for number in range(1_000)}},
        {"callbackUrl": URL, "callback": {"headers": {f"host {n}": "x" for n in range(1_000)}}},
        {"callbackUrl": URL, "callback": {"headers": {f"webhook-{n}": "é" for n in range(1_000)}}},
        {
            "metadata": {f"{number}": "x" * 513 for number in range(60)},
            "callbackUrl": URL,
            "callback": {"headers": {f"host {n}": "x" for n in range(60)}},
        },
    ],
)
async def test_of_very_many_faults_a_hundred_are_told(edge: Edge, more: dict[str, Any]) -> None:
    answer = await edge.submit({**ECHO, **more})
    assert answer.status == 422
    assert len(answer.json["errors"]) == MAX_FAULTS
    assert "100 things or more are wrong" in answer.json["detail"]
    assert not edge.taking.submissions
