-- New jobs with their inputs; they get their numbers in the order given. The columns stand in the
-- order of the table (`rows.job_row`). Gives what enabled endpoints of their callers are subscribed to, by caller.
WITH new AS (
  SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::smallint[], $7::text[],
    $8::text[], $9::text[], $10::integer[], $11::integer[], $12::double precision[],
    $13::double precision[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
    $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[],
    $24::boolean[], $25::text[], $26::text[], $27::bigint[], $28::text[], $29::text[],
    $30::text[], $31::text[], $32::text[], $33::text[], $34::bigint[], $35::bigint[],
    $36::text[], $37::smallint[], $38::bytea[]
  ) WITH ORDINALITY AS new (
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
