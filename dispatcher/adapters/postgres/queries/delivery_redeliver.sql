-- Begin a new round of a delivery that is locked. The destination may have been forgotten and made
-- again meanwhile.
UPDATE dispatcher.delivery SET
  state = 'pending',
  destination_seq = $2,
  target_seq = $6,
  blocked = $7,
  due_at = $3,
  finished_at = NULL,
  entries_used = 0,
  unknown_count = 0,
  round = $4,
  redelivered_at = $5,
  cancel_requested_at = NULL
WHERE seq = $1
