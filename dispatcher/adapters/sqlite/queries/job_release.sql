-- Put a running job back.
UPDATE job SET
  state = 'waiting',
  lease = NULL,
  holder_id = NULL,
  lane_seq = :lane_seq,
  due_at = :due_at,
  retrying = :retrying,
  attempt_count = attempt_count - :refund,
  error = :error,
  progress = coalesce(:progress, progress),
  version = version + 1,
  crash_count = crash_count + :crashed
WHERE seq = :seq AND state = 'running' AND lease = :lease
