-- Put running jobs back that are locked, and stand as the changes say.
UPDATE dispatcher.job AS job SET
  state = 'waiting',
  lease = NULL,
  holder_id = NULL,
  lane_seq = back.lane_seq,
  due_at = back.due_at,
  retrying = back.retrying,
  attempt_count = job.attempt_count - back.refund,
  error = back.error,
  progress = coalesce(back.progress, job.progress),
  version = job.version + 1,
  crash_count = job.crash_count + back.crashed,
  last_lease = CASE WHEN job.holder_id = job.lease THEN job.lease ELSE job.last_lease END
FROM unnest(
  $1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::integer[], $6::text[], $7::text[],
  $8::integer[]
) AS back (seq, lane_seq, due_at, retrying, refund, error, progress, crashed)
WHERE job.seq = back.seq
