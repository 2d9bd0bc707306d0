"""Every call of a real service, tried by its own description: no 5xx, and nothing undescribed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 580
"""Not what it takes, which is a minute or two at most, but what the slowest machine may take."""
REMOTE = "audio.transcribe"
BULK = ["dispatcher.cancel", "dispatcher.redeliver", "dispatcher.replay"]
ECHO = "dispatcher.echo"
TYPES = {REMOTE, *BULK, ECHO, "greet", "report.generate"}


@pytest.mark.whole
@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize(
    ("role", "phases", "types"),
    [
        # Every bound of every member is tried once, by who may make every call.
        ("dev", ("Examples", "Coverage", "Fuzzing", "Stateful"), TYPES),
        ("operator", ("Examples", "Fuzzing", "Stateful"), {REMOTE, ECHO}),
        ("caller", ("Examples", "Fuzzing", "Stateful"), {REMOTE, ECHO}),
        ("worker", ("Examples", "Fuzzing", "Stateful"), {REMOTE}),
    ],
)
def test_schemathesis_finds_nothing(role: str, phases: tuple[str, ...], types: set[str]) -> None:
    """The short form of `scripts/fuzz`: the same requests each time, bounded by their number."""
    asked = ("--examples", "5", "--role", role, "--phases", ",".join(phases).lower())
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.outside.fuzz", *asked],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-8_000:]
    for phase in phases:
        assert re.search(rf"✅ +{phase} \(in ", said), said[-8_000:]
    (count,) = re.findall(r"(\d+) generated", said)
    assert int(count) > (4_000 if "Coverage" in phases else 300)
    # Each type's schema says what is good: jobs of these were taken.
    (taken,) = re.findall(r"submitted: (.*)", said)
    assert types <= json.loads(taken).keys()
