-- As deliveries_due, of a destination's own line; with the target whose line each belongs to, if its
-- URL has opened its breaker meanwhile.
SELECT delivery.due_at, delivery.seq, target.seq
FROM delivery
LEFT JOIN target
  ON target.destination_seq = delivery.destination_seq AND target.url = delivery.url
  AND target.breaker_state <> 'closed'
WHERE delivery.destination_seq = :seq AND delivery.target_seq = 0
  AND delivery.retried = :retried AND delivery.due_at <= :now
  AND delivery.state = 'pending' AND delivery.blocked = 0
ORDER BY delivery.due_at, delivery.seq
LIMIT :limit
