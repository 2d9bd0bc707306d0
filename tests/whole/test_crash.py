"""The short form of `scripts/crash`: the service is killed under load and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.outside.crash import Trial, run

pytestmark = pytest.mark.whole


async def test_whatever_moment_it_is_killed_at_nothing_is_lost(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    outcome = await run(Trial(kills=2, seed=seed, most_seconds=0.8), tmp_path)
    assert outcome.faults == [], f"to draw the same chances: scripts/crash --kills 2 --seed {seed}"
    # It really was under load, and really was interrupted.
    assert outcome.kills >= 2
    assert outcome.jobs > 20
    assert outcome.submissions_sent_again > 0
    assert outcome.callbacks > outcome.callbacks_accepted == outcome.jobs
