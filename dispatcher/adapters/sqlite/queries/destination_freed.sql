-- A destination at which a slot came free: its `ready_at`, whether nothing holds it back but its
-- slots, and as `destination_next` when the next of its own line is due.
SELECT
  ready_at,
  breaker IS NULL AND rate_per_second IS NULL AND paused_at IS NULL AND held_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = destination.seq),
  (
    SELECT min(due_at) FROM delivery
    WHERE destination_seq = :seq AND target_seq = 0 AND retried = 0
      AND state = 'pending' AND blocked = 0
  ),
  (
    SELECT min(due_at) FROM delivery
    WHERE destination_seq = :seq AND target_seq = 0 AND retried = 1
      AND state = 'pending' AND blocked = 0
  ),
  (
    SELECT lease_until FROM delivery
    WHERE destination_seq = :seq AND state = 'sending' AND unknown_count < 3
      AND cancel_requested_at IS NULL AND target_seq = 0 AND seq <> :besides
    ORDER BY lease_until
    LIMIT 1
  )
FROM destination
WHERE seq = :seq
