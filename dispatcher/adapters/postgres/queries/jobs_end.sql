-- End jobs that stand as they were leased, and keep their results. Those that have changed since, or
-- whose caller has registered an endpoint, are left out: they are read under their locks instead.
WITH ended AS (
  UPDATE dispatcher.job AS job SET
    state = ended.state,
    lease = NULL,
    holder_id = NULL,
    finished_at = ended.finished_at,
    expires_at = ended.expires_at,
    retrying = FALSE,
    progress = ended.progress,
    error = ended.error,
    result_bytes = ended.result_bytes,
    version = job.version + 1,
    event_count = job.event_count + 1
  FROM unnest($1::dispatcher.job_ended[]) AS ended
  WHERE job.id = ended.id AND job.lease = ended.lease AND job.version = ended.version
    AND job.key_place = 0 AND coalesce(job.holder_id, '') <> job.lease
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.endpoint
      WHERE endpoint.caller_id = job.caller_id AND endpoint.deleted_at IS NULL
    )
  RETURNING job.id, job.seq, ended.body
), kept AS (
  INSERT INTO dispatcher.job_result (job_seq, body)
  SELECT seq, body FROM ended WHERE body IS NOT NULL
)
SELECT id, seq FROM ended
