"""The app of the scenario `idle`: its handler says when it returned."""

from __future__ import annotations

import time
from typing import Any

from dispatcher import Dispatcher

app = Dispatcher()


@app.job("benchmark.stamp")
async def stamp(request: dict[str, Any]) -> dict[str, float]:  # noqa: ARG001  # it is not looked at
    """The monotonic second at which this returns; it is one clock for all processes of a system."""
    return {"returnedAt": time.monotonic()}
