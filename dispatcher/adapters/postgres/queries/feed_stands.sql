-- The newest event that was erased, and whether some are there that may not be read yet, since one
-- that is under way could come before them.
SELECT
  newest.xid,
  newest.seq,
  EXISTS (
    SELECT 1 FROM dispatcher.event WHERE event.xid >= pg_snapshot_xmin(pg_current_snapshot())
  )
FROM (VALUES (TRUE)) AS always
LEFT JOIN LATERAL (
  SELECT xid, seq FROM dispatcher.event_erased
  WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid DESC, seq DESC
  LIMIT 1
) AS newest ON TRUE
