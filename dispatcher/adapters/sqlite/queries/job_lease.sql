-- Lease a waiting job: the claim counts the attempt. Once begun, only its deadline can be missed.
UPDATE job SET
  state = 'running',
  lease = :lease,
  holder_id = :holder_id,
  attempt_count = attempt_count + 1,
  started_at = coalesce(started_at, :now),
  late_at = deadline,
  retrying = 0,
  version = version + 1
WHERE seq = :seq AND state = 'waiting'
