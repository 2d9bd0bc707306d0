-- Record what came of an attempt.
UPDATE delivery SET
  state = ?,
  lease = NULL,
  lease_until = NULL,
  due_at = ?,
  finished_at = ?,
  attempt_count = attempt_count + ?,
  entries_used = entries_used + ?,
  unknown_count = 0
WHERE seq = ? AND state = 'sending' AND lease = ?
