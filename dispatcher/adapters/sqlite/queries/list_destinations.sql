-- Destinations, newest first, with how each stands. What waits is counted up to so many.
SELECT
  destination.seq, destination.id, destination.caller_id, destination.origin,
  destination.endpoint_id, destination.breaker, destination.paused_at, destination.held_at,
  (
    SELECT count(*) FROM delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until > :now
  ),
  (
    SELECT count(*) FROM (
      SELECT 1 FROM delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND blocked = 0
      LIMIT :most
    )
  ),
  (
    SELECT coalesce(sum(due_at <= :now), 0) FROM (
      SELECT due_at FROM delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND blocked = 0
      LIMIT :most
    )
  ),
  (
    SELECT min(due_at) FROM (
      SELECT due_at FROM delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND blocked = 0
      LIMIT :most
    )
  ),
  (
    SELECT count(*) FROM target
    WHERE destination_seq = destination.seq AND breaker_state <> 'closed'
  )
FROM destination
WHERE destination.seq < :before AND (:caller_id IS NULL OR destination.caller_id = :caller_id)
ORDER BY destination.seq DESC
LIMIT :limit
