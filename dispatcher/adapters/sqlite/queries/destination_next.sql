-- When the next of a line is due: a first attempt, a retry, or one sending when its lease ends,
-- unless that is the sweep's (its unknown attempts are used up, or it was asked to cancel). One
-- whose number is `besides` is left out of the last.
SELECT
  (
    SELECT min(due_at) FROM delivery
    WHERE destination_seq = :seq AND target_seq = :line AND retried = 0
      AND state = 'pending' AND blocked = 0
  ),
  (
    SELECT min(due_at) FROM delivery
    WHERE destination_seq = :seq AND target_seq = :line AND retried = 1
      AND state = 'pending' AND blocked = 0
  ),
  (
    SELECT lease_until FROM delivery
    WHERE destination_seq = :seq AND state = 'sending' AND unknown_count < 3
      AND cancel_requested_at IS NULL AND target_seq = :line AND seq <> :besides
    ORDER BY lease_until
    LIMIT 1
  )
