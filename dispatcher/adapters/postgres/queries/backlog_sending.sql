-- How many deliveries are being sent. It ends at so many rows.
SELECT count(*)
FROM (
  SELECT 1
  FROM (
    SELECT seq FROM dispatcher.destination ORDER BY ready_at, seq LIMIT $1
  ) AS line
  CROSS JOIN LATERAL (
    SELECT 1 FROM dispatcher.delivery
    WHERE destination_seq = line.seq AND state = 'sending'
    LIMIT $1
  ) AS delivery
  LIMIT $1
) AS counted
