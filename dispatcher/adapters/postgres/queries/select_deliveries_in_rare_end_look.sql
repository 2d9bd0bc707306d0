-- The same of those that ended in a way that is rare: nothing else of the caller's is looked at.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM dispatcher.delivery
  WHERE caller_id = $3 AND state = $4 AND state IN ('dead', 'canceled') AND seq > $1
  ORDER BY seq
  LIMIT $2
) AS looked
