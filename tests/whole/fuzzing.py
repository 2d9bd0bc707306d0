"""The short form of `scripts/fuzz`, for tests: the same requests each time, bounded by number."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
SECONDS: Final = 580
"""Not what it takes, which is a minute or two at most, but what the slowest machine may take."""

REMOTE: Final = "audio.transcribe"
ECHO: Final = "dispatcher.echo"
TYPES: Final = {
    *(REMOTE, ECHO, "dispatcher.cancel", "dispatcher.redeliver", "dispatcher.replay"),
    *("greet", "report.generate"),
}
"""All that the service of the trial knows."""


def finds_nothing(role: str, phases: tuple[str, ...], types: set[str]) -> None:
    """Every call that a role may make, by the service's own description: no 5xx, nothing else.

    Jobs of `types` must have been taken.
    """
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
