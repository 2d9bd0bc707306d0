-- Jobs.
SELECT
  seq, id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id, attempt_count,
  max_attempts, timeout_seconds, retention_seconds, created_at, due_at, late_at, run_at,
  start_by, deadline, started_at, finished_at, expires_at, cancel_requested_at, retrying,
  progress, error, result_bytes, callback, correlation_id, metadata, replay_of, trace,
  api_version, version, event_count, ordering_key, key_place, crash_count, last_lease
FROM job
WHERE seq > coalesce(:after, 0)
ORDER BY seq
