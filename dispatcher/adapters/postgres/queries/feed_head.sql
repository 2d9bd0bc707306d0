-- The newest event of everyone that may be read, kept or erased.
SELECT xid, seq FROM (
  (
    SELECT xid, seq FROM dispatcher.event
    WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid DESC, seq DESC
    LIMIT 1
  )
  UNION ALL
  SELECT xid, seq FROM dispatcher.event_erased
  WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
) AS newest
ORDER BY xid DESC, seq DESC
LIMIT 1
