-- Since when the first of all pending deliveries is due: one seek a destination.
SELECT min(head.due_at)
FROM (
  SELECT seq FROM dispatcher.destination ORDER BY ready_at, seq LIMIT $1
) AS line
CROSS JOIN LATERAL (
  SELECT min(due_at) AS due_at FROM dispatcher.delivery
  WHERE destination_seq = line.seq AND state = 'pending'
) AS head
