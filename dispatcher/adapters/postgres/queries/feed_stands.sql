-- The newest event that was erased; up to where events may be read, since one that is under way could
-- come behind that; and whether some are there behind it.
SELECT
  newest.xid,
  newest.seq,
  pg_snapshot_xmin(pg_current_snapshot()),
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
