-- Record what came of the first attempt, which lives in the delivery's own row.
UPDATE delivery SET
  state = ?,
  lease = NULL,
  lease_until = NULL,
  due_at = ?,
  finished_at = ?,
  attempt_count = 1,
  retried = 1,
  entries_used = entries_used + ?,
  unknown_count = 0,
  first_lease = lease,
  first_number = ?,
  first_at = ?,
  first_duration_ms = ?,
  first_status_code = ?,
  first_error = ?,
  first_body = ?
WHERE seq = ? AND state = 'sending' AND lease = ?
