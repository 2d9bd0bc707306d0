-- What has become of lanes that are locked: when the next can be claimed (NULL: none waits), and how
-- much of what waited was taken.
UPDATE dispatcher.lane AS lane SET
  ready_at = served.ready_at,
  waiting = lane.waiting - served.jobs,
  waiting_bytes = lane.waiting_bytes - served.input_bytes
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
  AS served (seq, ready_at, jobs, input_bytes)
WHERE lane.seq = served.seq
