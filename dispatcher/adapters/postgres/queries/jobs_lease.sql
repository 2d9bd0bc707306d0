-- Lease waiting jobs of locked lanes, and give them with their inputs, and with what enabled endpoints
-- of their callers are subscribed to: the claim counts the attempt. Each is held by one holder, or by
-- its own lease. Once begun, only its deadline can be missed. One that somebody has locked is left
-- out. They are looked for by their numbers: what is added to the state keeps it off the indexes of
-- what waits, however little the planner believes that to be.
WITH free AS (
  SELECT job.seq, wanted.lease
  FROM unnest($1::bigint[], $2::text[]) AS wanted (seq, lease)
  JOIN dispatcher.job ON job.seq = wanted.seq
  WHERE job.state || '' = 'waiting'
  FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE dispatcher.job AS job SET
  state = 'running',
  lease = free.lease,
  holder_id = coalesce($3::text, free.lease),
  attempt_count = job.attempt_count + 1,
  started_at = coalesce(job.started_at, $4::bigint),
  late_at = job.deadline,
  retrying = FALSE,
  version = job.version + 1
FROM free
JOIN dispatcher.job_input ON job_input.job_seq = free.seq
WHERE job.seq = free.seq
RETURNING
  job.*, job_input.body,
  (
    SELECT string_agg(endpoint.events, ' ') FROM dispatcher.endpoint
    WHERE endpoint.caller_id = job.caller_id
      AND endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL
  ) AS asked
