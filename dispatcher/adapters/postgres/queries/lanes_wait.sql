-- Jobs are to wait in lanes from an instant on: the lanes are locked, made if they are not there, and
-- ready by then. One that is ready sooner is locked all the same, and not written.
INSERT INTO dispatcher.lane AS lane (caller_id, queue, type, ready_at)
SELECT caller_id, queue, type, ready_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
  AS wanted (caller_id, queue, type, ready_at)
ORDER BY caller_id COLLATE "C", queue COLLATE "C", type COLLATE "C"
ON CONFLICT (caller_id, queue, type) DO UPDATE SET ready_at = excluded.ready_at
WHERE lane.ready_at IS NULL OR lane.ready_at > excluded.ready_at
