from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatcher.core.estimate import RECENT
from dispatcher.core.facts import JobAttemptEnded
from dispatcher.core.model import JobState
from dispatcher.engine.estimates import Estimates
from tests.engine.conftest import Stages
from tests.fact_samples import ENDED, FACTS, JOB

NOW = 1_000_000
RUNNING = replace(JOB, state=JobState.RUNNING, started_at=NOW, due_at=NOW)


def test_what_succeeded_here_is_learned_from() -> None:
    estimates = Estimates()
    assert estimates.finish_at(RUNNING, NOW) is None
    for duration_ms in (100, 700, 300):
        estimates.saw(replace(ENDED, duration_ms=duration_ms))
    assert estimates.finish_at(RUNNING, NOW) == NOW + 300
    assert estimates.finish_at(replace(RUNNING, type="mail.send"), NOW) is None


@pytest.mark.parametrize("changes", [{"to": JobState.FAILED}, {"stale": True}])
def test_what_failed_or_came_too_late_tells_nothing(changes: dict[str, object]) -> None:
    estimates = Estimates()
    estimates.saw(replace(ENDED, **changes))
    assert estimates.finish_at(RUNNING, NOW) is None


def test_other_facts_tell_nothing() -> None:
    estimates = Estimates()
    for fact in FACTS:
        if not isinstance(fact, JobAttemptEnded):
            estimates.saw(fact)
    assert estimates.finish_at(RUNNING, NOW) is None


def test_what_is_long_ago_is_forgotten() -> None:
    estimates = Estimates()
    for duration_ms in [9_000] * 100 + [50] * RECENT:
        estimates.saw(replace(ENDED, duration_ms=duration_ms))
    assert estimates.finish_at(RUNNING, NOW) == NOW + 50


async def test_a_job_that_ran_is_what_the_next_is_measured_by(stages: Stages) -> None:
    stage = await stages.start()
    job = await stage.submit()
    (ended,) = await stage.seen(JobAttemptEnded)
    estimates = Estimates()
    estimates.saw(ended)
    following = replace(job, state=JobState.RUNNING, attempt_count=1, started_at=stage.clock.now())
    now = stage.clock.now()
    assert estimates.finish_at(following, now) == now + ended.duration_ms
