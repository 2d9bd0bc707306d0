-- End jobs that are locked, and stand as the changes say.
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
  event_count = job.event_count + 1,
  key_place = CASE WHEN job.key_place = 0 THEN 0 ELSE 4 END,
  last_lease = CASE WHEN job.holder_id = job.lease THEN job.lease ELSE job.last_lease END
FROM unnest(
  $1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[]
) AS ended (seq, state, finished_at, expires_at, progress, error, result_bytes)
WHERE job.seq = ended.seq
