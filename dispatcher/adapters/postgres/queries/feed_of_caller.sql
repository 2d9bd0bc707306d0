-- Those of a caller.
SELECT event.* FROM dispatcher.event
WHERE caller_id = $7
  AND (xid, seq) > ($1::xid8, $2::bigint) AND (xid, seq) <= ($3::xid8, $4::bigint)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
  AND ($5::text[] IS NULL OR type = ANY ($5::text[]))
ORDER BY xid, seq
LIMIT $6
