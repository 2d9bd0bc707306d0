-- How far a selection of a caller's jobs looks: the last number, and how many there are.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM dispatcher.job
  WHERE caller_id = $4 AND seq > $1 AND seq < $3
  ORDER BY seq
  LIMIT $2
) AS looked
