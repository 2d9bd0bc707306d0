-- When the next of a line is due: a first attempt, a retry, or one sending when its lease ends,
-- unless that is the sweep's.
SELECT least(
  (
    SELECT min(due_at) FROM dispatcher.delivery
    WHERE destination_seq = $1 AND target_seq = $2 AND NOT retried
      AND state = 'pending' AND NOT blocked
  ),
  (
    SELECT min(due_at) FROM dispatcher.delivery
    WHERE destination_seq = $1 AND target_seq = $2 AND retried
      AND state = 'pending' AND NOT blocked
  ),
  (
    SELECT lease_until FROM dispatcher.delivery
    WHERE destination_seq = $1 AND state = 'sending' AND unknown_count < 3
      AND cancel_requested_at IS NULL AND target_seq = $2
    ORDER BY lease_until
    LIMIT 1
  )
)
