-- Since when the first of all pending deliveries is due: one seek a destination.
SELECT min((
  SELECT min(delivery.due_at) FROM delivery
  WHERE delivery.destination_seq = line.seq AND delivery.state = 'pending'
))
FROM (
  SELECT seq FROM destination ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
) AS line
