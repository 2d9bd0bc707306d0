-- The same of a caller.
SELECT
  newest.xid,
  newest.seq,
  EXISTS (
    SELECT 1 FROM dispatcher.event
    WHERE event.caller_id = wanted.id AND event.xid >= pg_snapshot_xmin(pg_current_snapshot())
  )
FROM (VALUES ($1::text)) AS wanted (id)
LEFT JOIN dispatcher.event_erased AS newest
  ON newest.caller_id = wanted.id AND newest.xid < pg_snapshot_xmin(pg_current_snapshot())
