-- How far a selection of a caller's deliveries looks: the last number, and how many there are.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM dispatcher.delivery WHERE caller_id = $3 AND seq > $1 ORDER BY seq LIMIT $2
) AS looked
