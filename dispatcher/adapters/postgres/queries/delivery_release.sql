-- Give a leased delivery, which is locked, back unsent: pending, or ended if it was asked to cancel.
UPDATE dispatcher.delivery SET
  state = $2,
  lease = NULL,
  lease_until = NULL,
  due_at = $3,
  finished_at = $4
WHERE seq = $1
