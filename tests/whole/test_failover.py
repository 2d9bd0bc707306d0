"""The short form of `scripts/failover`: nodes and their database fail, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.outside.network import can_isolate

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not can_isolate(), reason="needs root, to make network namespaces")
@pytest.mark.timeout(400)
def test_nodes_and_their_database_fail_and_nothing_is_lost() -> None:
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.outside.failover", "--troubles=2", "--failovers=1"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "'fail_over': 1" in ran.stdout
    assert "nothing was lost" in ran.stdout
