from __future__ import annotations

import resource
import subprocess
import sys

WORDS = """
import resource
from dispatcher.adapters.open_files import raise_open_files
raise_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_files_as_the_system_allows() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def lowered() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    done = subprocess.run(
        [sys.executable, "-c", WORDS],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lowered,  # no threads use locks in between
    )
    assert done.stdout.split() == [str(hard), str(hard)]
