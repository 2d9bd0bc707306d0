"""What tests are made with, ours and those of whoever builds on the dispatcher.

`clock` has a time, a chance and ids that a test decides; `conformance` is the suite that every
store must pass (it needs pytest and Hypothesis, so it is imported on its own).
"""

from __future__ import annotations

from dispatcher.testing.clock import CountingIds, ManualClock, SeededRandom

__all__ = ["CountingIds", "ManualClock", "SeededRandom"]
