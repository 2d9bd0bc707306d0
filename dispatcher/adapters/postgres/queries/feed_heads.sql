-- The newest event of each of some callers that may be read, kept or erased; NULL if there was none.
SELECT wanted.id, newest.xid, newest.seq
FROM unnest($1::text[]) AS wanted (id)
LEFT JOIN LATERAL (
  SELECT xid, seq FROM (
    (
      SELECT event.xid, event.seq FROM dispatcher.event
      WHERE event.caller_id = wanted.id AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
      ORDER BY event.xid DESC, event.seq DESC
      LIMIT 1
    )
    UNION ALL
    SELECT erased.xid, erased.seq FROM dispatcher.event_erased AS erased
    WHERE erased.caller_id = wanted.id AND erased.xid < pg_snapshot_xmin(pg_current_snapshot())
  ) AS both_of_them
  ORDER BY xid DESC, seq DESC
  LIMIT 1
) AS newest ON TRUE
