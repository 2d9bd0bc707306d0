-- What is due of a destination's own line, first attempts or retries; with the target whose line each
-- belongs to, if its URL has opened its breaker meanwhile.
SELECT delivery.seq, target.seq
FROM dispatcher.delivery
LEFT JOIN dispatcher.target
  ON target.destination_seq = delivery.destination_seq AND target.url = delivery.url
  AND target.breaker_state <> 'closed'
WHERE delivery.destination_seq = $1 AND delivery.target_seq = 0
  AND delivery.retried = $2 AND delivery.due_at <= $3
  AND delivery.state = 'pending' AND NOT delivery.blocked
ORDER BY delivery.due_at, delivery.seq
LIMIT $4
