-- Put a job back whose holder's lease has ended; the attempt stays counted.
UPDATE job SET
  state = 'waiting',
  lease = NULL,
  holder_id = NULL,
  lane_seq = :lane_seq,
  due_at = :now,
  retrying = 1,
  version = version + 1,
  crash_count = crash_count + 1
WHERE seq = :seq AND state = 'running'
