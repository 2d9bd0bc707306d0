-- A new job of which nothing more is known than what every job has: what is left out is NULL. Each
-- column that is bound takes time, and most jobs have none of the others.
INSERT INTO job (
  id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id,
  attempt_count, max_attempts, timeout_seconds, retention_seconds,
  created_at, due_at, run_at, started_at, retrying, callback, api_version, version, event_count
) VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
