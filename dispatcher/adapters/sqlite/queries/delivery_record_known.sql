-- Record what came of the first attempt of a delivery whose numbers the process remembers, if
-- nothing besides that lease has happened to it: then nothing more of it need be read.
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
WHERE seq = ? AND id = ? AND state = 'sending' AND lease = ?
  AND attempt_count = 0 AND cancel_requested_at IS NULL AND target_seq = 0
