-- Lock those of them that are still ready, in the order of all locks of lanes.
SELECT seq, caller_id, queue, type FROM dispatcher.lane
WHERE seq = ANY ($1::bigint[]) AND ready_at <= $2::bigint AND paused_at IS NULL
ORDER BY caller_id COLLATE "C", queue COLLATE "C", type COLLATE "C"
FOR NO KEY UPDATE
