-- Jobs come to wait in lanes from an instant on: the lanes are locked, in the order of all locks of
-- lanes, made if they are not there, and ready by then.
INSERT INTO dispatcher.lane AS lane (caller_id, queue, type, ready_at, waiting, waiting_bytes)
SELECT caller_id, queue, type, ready_at, waiting, waiting_bytes
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
  AS wanted (caller_id, queue, type, ready_at, waiting, waiting_bytes)
ORDER BY caller_id COLLATE "C", queue COLLATE "C", type COLLATE "C"
ON CONFLICT (caller_id, queue, type) DO UPDATE SET
  ready_at = least(lane.ready_at, excluded.ready_at),
  waiting = lane.waiting + excluded.waiting,
  waiting_bytes = lane.waiting_bytes + excluded.waiting_bytes
RETURNING seq, caller_id, queue, type
