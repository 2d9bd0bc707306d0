-- End a job that has neither progress nor an error, and had none, if it still stands as the change
-- says: these columns are left alone.
UPDATE job SET
  state = ?,
  lease = NULL,
  holder_id = NULL,
  finished_at = ?,
  expires_at = ?,
  retrying = 0,
  result_bytes = ?,
  version = version + 1,
  event_count = event_count + 1
WHERE seq = ? AND state = ? AND lease IS ? AND version = ?
