"""`dispatcher`, on a machine whose clock is wrong by as many seconds as `SKEW_SECONDS` says."""

import os
import sys
import time

_SKEW = float(os.environ["SKEW_SECONDS"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _SKEW
time.time_ns = lambda: _time_ns() + int(_SKEW * 1e9)

from dispatcher.cli.main import main  # noqa: E402  # the clock is wrong before anything reads it

sys.exit(main())
