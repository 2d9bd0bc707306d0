-- Since when the first of all pending deliveries is due: two seeks a line.
SELECT min(head.due_at)
FROM (
  (
    SELECT seq AS destination_seq, 0::bigint AS target_seq FROM dispatcher.destination
    ORDER BY ready_at, seq
    LIMIT $1
  )
  UNION ALL
  (SELECT destination_seq, seq FROM dispatcher.target WHERE ready_at IS NOT NULL LIMIT $1)
) AS line
CROSS JOIN (VALUES (FALSE), (TRUE)) AS kind (retried)
CROSS JOIN LATERAL (
  SELECT min(due_at) AS due_at FROM dispatcher.delivery
  WHERE destination_seq = line.destination_seq AND target_seq = line.target_seq
    AND retried = kind.retried AND state = 'pending' AND NOT blocked
) AS head
