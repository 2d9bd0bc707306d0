-- Events behind a place and not behind another, oldest first, of some types (NULL: of all); none
-- that one under way could still come before.
SELECT event.* FROM dispatcher.event
WHERE (xid, seq) > ($1::xid8, $2::bigint) AND (xid, seq) <= ($3::xid8, $4::bigint)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
  AND ($5::text[] IS NULL OR type = ANY ($5::text[]))
ORDER BY xid, seq
LIMIT $6
