-- So many jobs wait no more in lanes, and so many bytes of their inputs; or something in a lane can be
-- claimed from an instant on. The lanes are locked in the order of all locks of lanes.
WITH locked AS (
  SELECT lane.seq FROM dispatcher.lane
  WHERE lane.seq = ANY ($1::bigint[])
  ORDER BY lane.caller_id COLLATE "C", lane.queue COLLATE "C", lane.type COLLATE "C"
  FOR NO KEY UPDATE
)
UPDATE dispatcher.lane AS lane SET
  waiting = lane.waiting - gone.jobs,
  waiting_bytes = lane.waiting_bytes - gone.input_bytes,
  ready_at = least(lane.ready_at, gone.ready_at)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
  AS gone (seq, jobs, input_bytes, ready_at)
JOIN locked ON locked.seq = gone.seq
WHERE lane.seq = gone.seq
