-- Put jobs back, which are locked, whose holder's lease has ended; the attempt stays counted.
UPDATE dispatcher.job AS job SET
  state = 'waiting',
  lease = NULL,
  holder_id = NULL,
  lane_seq = back.lane_seq,
  due_at = $3::bigint,
  retrying = TRUE,
  version = job.version + 1,
  crash_count = job.crash_count + 1
FROM unnest($1::bigint[], $2::bigint[]) AS back (seq, lane_seq)
WHERE job.seq = back.seq
