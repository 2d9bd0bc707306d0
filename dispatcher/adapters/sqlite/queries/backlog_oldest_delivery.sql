-- Since when the first of all pending deliveries is due: two seeks a line.
SELECT min((
  SELECT min(delivery.due_at) FROM delivery
  WHERE delivery.destination_seq = line.destination_seq AND delivery.target_seq = line.target_seq
    AND delivery.retried = kind.column1
    AND delivery.state = 'pending' AND delivery.blocked = 0
))
FROM (
  SELECT * FROM (
    SELECT seq AS destination_seq, 0 AS target_seq FROM destination
    ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
  )
  UNION ALL
  SELECT * FROM (SELECT destination_seq, seq FROM target WHERE ready_at IS NOT NULL LIMIT :most)
) AS line
CROSS JOIN (VALUES (0), (1)) AS kind
