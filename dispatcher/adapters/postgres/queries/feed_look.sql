-- How far a page of events of some types looks: the last place, and how many there are.
SELECT xid, seq, number FROM (
  SELECT xid, seq, row_number() OVER (ORDER BY xid, seq) AS number FROM dispatcher.event
  WHERE (xid, seq) > ($1::xid8, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY xid, seq
  LIMIT $3
) AS looked
ORDER BY number DESC
LIMIT 1
