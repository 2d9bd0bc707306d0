"""`python -m dispatcher.cli`, where the script `dispatcher` is not on the path."""

from __future__ import annotations

import sys

from dispatcher.cli.main import main

sys.exit(main())
