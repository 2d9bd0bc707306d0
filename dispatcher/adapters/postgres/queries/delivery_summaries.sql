-- The deliveries of jobs' last events to their callback URLs, each with the answer of its last
-- attempt.
SELECT
  wanted.job_seq, last.state, last.attempt_count,
  CASE WHEN last.attempt_count > 1
    THEN (
      SELECT status_code FROM dispatcher.attempt
      WHERE delivery_seq = last.seq
      ORDER BY number DESC
      LIMIT 1
    )
    ELSE last.first_status_code
  END,
  last.due_at
FROM unnest($1::bigint[]) AS wanted (job_seq)
CROSS JOIN LATERAL (
  SELECT seq, state, attempt_count, first_status_code, due_at FROM dispatcher.delivery
  WHERE delivery.job_seq = wanted.job_seq AND endpoint_id IS NULL
  ORDER BY seq DESC
  LIMIT 1
) AS last
