-- How many deliveries are due, and how many wait for their time. It ends at so many rows, in the order
-- of an index. (Not destination by destination: with few pending when it is planned, the planner may
-- go through all that is pending for each.)
SELECT count(*) FILTER (WHERE due_at <= $1), count(*) FILTER (WHERE due_at > $1)
FROM (
  SELECT due_at FROM dispatcher.delivery WHERE state = 'pending' AND NOT blocked
  ORDER BY destination_seq, target_seq, retried, due_at, seq
  LIMIT $2
) AS counted
