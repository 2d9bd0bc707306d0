-- How many deliveries are due, and how many wait for their time. It ends at so many rows; the
-- destinations longest unserved come first.
SELECT coalesce(sum(due_at <= :now), 0), coalesce(sum(due_at > :now), 0)
FROM (
  SELECT delivery.due_at
  FROM (
    SELECT seq FROM destination ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
  ) AS line
  CROSS JOIN delivery
    ON delivery.destination_seq = line.seq AND delivery.state = 'pending' AND delivery.blocked = 0
  LIMIT :most
)
