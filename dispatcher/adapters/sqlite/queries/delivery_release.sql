-- Give a leased delivery back unsent: pending, or ended if it was asked to cancel.
UPDATE delivery SET
  state = :to,
  lease = NULL,
  lease_until = NULL,
  due_at = :due_at,
  finished_at = :finished_at
WHERE seq = :seq AND state = 'sending' AND lease = :lease
