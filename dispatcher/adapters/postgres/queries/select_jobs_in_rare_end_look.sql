-- The same of jobs that ended in a way that is rare, of every caller: those of one are few among
-- few.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM dispatcher.job
  WHERE state = $4 AND state IN ('failed', 'canceled', 'expired') AND seq > $1 AND seq < $3
  ORDER BY seq
  LIMIT $2
) AS looked
