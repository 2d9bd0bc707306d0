-- New jobs with their inputs; they get their numbers in the order given. The columns stand in the
-- order of the table (`rows.job_row`). Gives what enabled endpoints of these callers are subscribed to,
-- by caller.
WITH new AS (
  SELECT * FROM unnest($1::dispatcher.job_new[]) WITH ORDINALITY AS new (
    id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id, attempt_count,
    max_attempts, timeout_seconds, retention_seconds, created_at, due_at, late_at, run_at,
    start_by, deadline, started_at, finished_at, expires_at, cancel_requested_at, retrying,
    progress, error, result_bytes, callback, correlation_id, metadata, replay_of, trace,
    api_version, version, event_count, ordering_key, key_place, body, place
  )
), added AS (
  INSERT INTO dispatcher.job (
    id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id, attempt_count,
    max_attempts, timeout_seconds, retention_seconds, created_at, due_at, late_at, run_at,
    start_by, deadline, started_at, finished_at, expires_at, cancel_requested_at, retrying,
    progress, error, result_bytes, callback, correlation_id, metadata, replay_of, trace,
    api_version, version, event_count, ordering_key, key_place
  )
  SELECT
    id, caller_id, type, queue, lane_seq, priority, state, lease, holder_id, attempt_count,
    max_attempts, timeout_seconds, retention_seconds, created_at, due_at, late_at, run_at,
    start_by, deadline, started_at, finished_at, expires_at, cancel_requested_at, retrying,
    progress, error, result_bytes, callback, correlation_id, metadata, replay_of, trace,
    api_version, version, event_count, ordering_key, key_place
  FROM new
  ORDER BY place
  RETURNING seq
), inputs AS (
  INSERT INTO dispatcher.job_input (job_seq, body)
  SELECT numbers.seqs[new.place], new.body
  FROM (SELECT array_agg(seq ORDER BY seq) AS seqs FROM added) AS numbers, new
)
SELECT caller_id, string_agg(events, ' ') FROM dispatcher.endpoint
WHERE caller_id = ANY ($2::text[]) AND deleted_at IS NULL AND disabled_at IS NULL
GROUP BY caller_id
