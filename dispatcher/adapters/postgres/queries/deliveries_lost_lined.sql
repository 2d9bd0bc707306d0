-- The deliveries of a destination's own line whose lease has ended, and whose URL has opened its
-- breaker meanwhile; with its target.
SELECT delivery.seq, target.seq
FROM dispatcher.delivery
JOIN dispatcher.target
  ON target.destination_seq = delivery.destination_seq AND target.url = delivery.url
  AND target.breaker_state <> 'closed'
WHERE delivery.destination_seq = $1 AND delivery.state = 'sending'
  AND delivery.lease_until <= $2 AND delivery.unknown_count < 3
  AND delivery.cancel_requested_at IS NULL AND delivery.target_seq = 0
ORDER BY delivery.lease_until, delivery.seq
LIMIT $3
