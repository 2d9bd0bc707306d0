"""Fills a PostgreSQL with finished jobs: what a service has behind it after some weeks."""

from __future__ import annotations

from typing import Final

import asyncpg

CHUNK: Final = 100_000

_RANGE: Final = "generate_series($1::bigint, $2::bigint) AS n"

# Half of all is one caller's and for one destination: those for whom the figures are taken.
_CALLER: Final = "CASE WHEN n % 2 = 0 THEN $3::text ELSE 'clr_other' || n % 200 END"
_ENDED: Final = "CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END"
_WENT: Final = "CASE WHEN n % 100 = 0 THEN 'dead' ELSE 'delivered' END"
_ID: Final = "lpad(to_hex(n), 12, '0') || substr(md5(n::text), 1, 20)"

_STEPS: Final = (
    f"""
    INSERT INTO dispatcher.job (
      seq, id, caller_id, type, queue, priority, state, attempt_count, max_attempts,
      timeout_seconds, retention_seconds, created_at, due_at, started_at, finished_at, expires_at,
      retrying, result_bytes, callback, correlation_id, api_version, version, event_count
    ) OVERRIDING SYSTEM VALUE
    SELECT
      n, 'job_' || {_ID}, {_CALLER}, 'mail.send', 'default', 5, {_ENDED}, 1, 3, 600, 604800,
      $4::bigint + n, $4 + n, $4 + n, $4 + n + 20, $4 + n + 604800000, FALSE, 200,
      '{{"url":"https://receiver.example/hook","origin":"https://receiver.example"}}',
      'order-' || n, '1', 3, 1
    FROM {_RANGE}
    """,  # its parts stand in this file
    f"""
    INSERT INTO dispatcher.job_input
    SELECT n, convert_to(repeat(md5(n::text), 16), 'UTF8') FROM {_RANGE}
    """,  # its parts stand in this file
    f"""
    INSERT INTO dispatcher.job_result
    SELECT n, convert_to(repeat(md5(n::text), 6), 'UTF8') FROM {_RANGE}
    """,  # its parts stand in this file
    f"""
    INSERT INTO dispatcher.event (
      seq, id, caller_id, job_seq, type, sequence, at, links_base
    ) OVERRIDING SYSTEM VALUE
    SELECT
      n, 'evt_' || {_ID}, {_CALLER}, n, 'job.' || {_ENDED}, 1, $4::bigint + n + 20,
      'https://jobs.example'
    FROM {_RANGE}
    """,  # its parts stand in this file
    f"""
    INSERT INTO dispatcher.delivery (
      seq, id, destination_seq, job_seq, event_seq, url, origin, state, created_at, due_at,
      finished_at, attempt_count, entries_used, unknown_count, caller_id, first_lease,
      first_number, first_at, first_duration_ms, first_status_code
    ) OVERRIDING SYSTEM VALUE
    SELECT
      n, 'dlv_' || {_ID}, 1 + (n % 2) * n % 200, n, n, 'https://receiver.example/hook',
      'https://receiver.example', {_WENT}, $4::bigint + n + 20, $4 + n + 20, $4 + n + 40, 1, 1, 0,
      {_CALLER}, 'lse_' || {_ID}, 1, $4 + n + 20, 15, 204
    FROM {_RANGE}
    """,  # its parts stand in this file
)
_LAST: Final = """
SELECT greatest(
  (SELECT coalesce(max(seq), 0) FROM dispatcher.job),
  (SELECT coalesce(max(seq), 0) FROM dispatcher.event),
  (SELECT coalesce(max(seq), 0) FROM dispatcher.delivery)
)
"""
_COUNTERS: Final = ("job", "event", "delivery")


async def seed(connection: asyncpg.Connection, count: int, caller_id: str, ended_at: int) -> None:
    """Add `count` finished jobs, of which the first ended then; let the database tidy up."""
    before = await connection.fetchval(_LAST)
    first, last = before + 1, before + count
    for start in range(first, last + 1, CHUNK):
        end = min(start + CHUNK - 1, last)
        for step in _STEPS:
            wanted = (start, end, caller_id, ended_at - before)
            given = wanted[: 4 if "$4" in step else 2]
            await connection.execute(step, *given)
    for table in _COUNTERS:
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence($1, 'seq'), $2)", f"dispatcher.{table}", last
        )
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")


async def sizes(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Of each table of which there is much: the bytes of its rows, and those of its indexes."""
    rows = await connection.fetch(
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class "
        "WHERE relnamespace = 'dispatcher'::regnamespace AND relkind = 'r' "
        "AND pg_total_relation_size(oid) > 1000000 ORDER BY 1"
    )
    return {name: (table, indexes) for name, table, indexes in rows}
