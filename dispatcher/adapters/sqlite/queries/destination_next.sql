-- When the next of a destination is due: pending, or sending when its lease ends, unless that is
-- the sweep's (its unknown attempts are used up, or it was asked to cancel). One whose number is
-- `besides` is left out.
SELECT
  (
    SELECT min(due_at) FROM delivery
    WHERE destination_seq = :seq AND state = 'pending'
  ),
  (
    SELECT lease_until FROM delivery
    WHERE destination_seq = :seq AND state = 'sending' AND unknown_count < 3
      AND cancel_requested_at IS NULL AND seq <> :besides
    ORDER BY lease_until
    LIMIT 1
  )
