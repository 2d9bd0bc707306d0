-- End a job, if it still stands as the change says.
UPDATE job SET
  state = ?,
  lease = NULL,
  holder_id = NULL,
  finished_at = ?,
  expires_at = ?,
  retrying = 0,
  progress = ?,
  error = ?,
  result_bytes = ?,
  version = version + 1,
  event_count = event_count + 1
WHERE seq = ? AND state = ? AND lease IS ? AND version = ?
