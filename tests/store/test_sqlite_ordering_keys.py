"""What jobs with a key cost: nothing to others, and the same however many wait behind one."""

from __future__ import annotations

from pathlib import Path

from dispatcher.ports.records import JobClaim
from tests.store.sqlite_scene import HOLDER, TERMS, SqliteScene, sqlite_scene
from tests.store.test_sqlite_plans import Steps, cost_of_job_claim


class TestCostStaysFlatWithKeys:
    async def test_of_the_claim_beside_what_waits_for_another_of_its_key(
        self, tmp_path: Path
    ) -> None:
        """Thousands of jobs behind one of their key cost the claims of other jobs nothing."""
        async with sqlite_scene(tmp_path) as scene:
            await scene.leased()
            await scene.add([scene.job(ordering_key="key")])
            await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 8}, 8))
            small = await cost_of_job_claim(scene)
            for _ in range(10):
                await scene.add([scene.job(ordering_key="key") for _ in range(400)])
            assert await cost_of_job_claim(scene) <= small * 1.1

    async def test_of_the_next_of_a_key(self, tmp_path: Path) -> None:
        """To end the first of a key and begin the next costs the same, however many wait."""

        async def turn(scene: SqliteScene) -> int:
            with Steps(scene.writing) as steps:
                claimed = await scene.store.claim_jobs(JobClaim(HOLDER, {"mail.send": 8}, 8))
                (leased,) = claimed.jobs
                await scene.store.apply([scene.finish(leased)], TERMS)
            return steps.count

        async with sqlite_scene(tmp_path) as scene:
            await scene.add([scene.job(ordering_key="key") for _ in range(3)])
            await turn(scene)
            small = await turn(scene)
            for _ in range(10):
                await scene.add([scene.job(ordering_key="key") for _ in range(400)])
            assert await turn(scene) <= small * 1.1
