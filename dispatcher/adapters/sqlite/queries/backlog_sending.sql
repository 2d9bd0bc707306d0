-- How many deliveries are being sent. It ends at so many rows.
SELECT count(*)
FROM (
  SELECT 1
  FROM (
    SELECT seq FROM destination ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
  ) AS line
  CROSS JOIN delivery ON delivery.destination_seq = line.seq AND delivery.state = 'sending'
  LIMIT :most
)
