-- How many deliveries are due, and how many wait for their time. It ends at so many rows; the
-- destinations longest unserved come first. (The order within one is that of the index: else, with few
-- pending, the planner may go through all that is pending for each.)
SELECT count(*) FILTER (WHERE due_at <= $1), count(*) FILTER (WHERE due_at > $1)
FROM (
  SELECT delivery.due_at
  FROM (
    SELECT seq FROM dispatcher.destination ORDER BY ready_at, seq LIMIT $2
  ) AS line
  CROSS JOIN LATERAL (
    SELECT due_at FROM dispatcher.delivery
    WHERE destination_seq = line.seq AND state = 'pending' AND NOT blocked
    ORDER BY target_seq, retried, due_at, seq
    LIMIT $2
  ) AS delivery
  LIMIT $2
) AS counted
