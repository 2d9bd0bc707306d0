"""How far a store looks, and how much it changes, at a call: the next one goes on.

So no call costs more, or holds its locks longer, because much is there.
"""

from __future__ import annotations

from typing import Final

# --- Claims ------------------------------------------------------------------------------------

LOOK_LANES: Final = 1_000
"""A claim looks at no more lanes than this. Most of them have something."""

LOOK_IN_VAIN: Final = 3
"""A claim that finds only jobs that have to wait for others of their key looks so often again."""

JOIN_JOBS: Final = 500
"""How many scheduled jobs of a key join at a time, the first due first."""

TAKE_BACK_JOBS: Final = 500
"""How many jobs a claim takes back of those whose holder has gone."""

LOOK_DESTINATIONS: Final = 1_000
"""A claim looks at no more destinations than this. Most have something."""

MOST_MOVED: Final = 1_000
"""A look at a destination moves no more deliveries than this into the lines of their URLs,"""

LOOK_LINES: Final = 100
"""and looks at no more of these lines."""

# --- Pages -------------------------------------------------------------------------------------

LOOK_ROWS: Final = 1_000
"""A page of a list looks at no more rows than this, whether they fit or not."""

SELECT_ROWS: Final = 2_000
"""A page of a bulk operation looks at no more rows than this, whether they fit or not."""

INPUT_BYTES: Final = 4 * 1_048_576
"""A page with inputs ends early once they are this large together."""

# --- Upkeep ------------------------------------------------------------------------------------

LOOK_FACTOR: Final = 4
"""A pruning looks at so many times as many as it may erase: some have to stay."""

END_AT_ONCE: Final = 200
"""So many deliveries end in the commit that deletes their endpoint; the rest follows."""
