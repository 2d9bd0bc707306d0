"""A newer version of the dispatcher, for tests of upgrades: it knows a migration more.

Put before the command: `python newer.py dispatcher serve …`.
"""

from __future__ import annotations

import sys

from dispatcher.adapters.postgres import schema
from dispatcher.cli.main import main

MORE = schema.Migration(
    9000,
    "9000_more",
    """
ALTER TABLE dispatcher.job ADD COLUMN more text;
ALTER TABLE dispatcher.delivery ADD COLUMN more bigint;
ALTER TABLE dispatcher.event ADD COLUMN more text;
CREATE INDEX job_more ON dispatcher.job (more) WHERE more IS NOT NULL;
CREATE TABLE dispatcher.more (id text PRIMARY KEY);
""",
)
known = schema.migrations


def migrations() -> list[schema.Migration]:
    return [*known(), MORE]


if __name__ == "__main__":
    schema.migrations = migrations
    sys.exit(main(sys.argv[2:]))
