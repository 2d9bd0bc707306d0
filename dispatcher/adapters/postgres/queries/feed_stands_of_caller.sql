-- The same of a caller.
SELECT
  newest.xid,
  newest.seq,
  pg_snapshot_xmin(pg_current_snapshot()),
  coalesce(
    (
      SELECT event.xid FROM dispatcher.event
      WHERE event.caller_id = wanted.id
      ORDER BY event.xid DESC, event.seq DESC
      LIMIT 1
    ) >= pg_snapshot_xmin(pg_current_snapshot()),
    FALSE
  )
FROM (VALUES ($1::text)) AS wanted (id)
LEFT JOIN dispatcher.event_erased AS newest
  ON newest.caller_id = wanted.id AND newest.xid < pg_snapshot_xmin(pg_current_snapshot())
