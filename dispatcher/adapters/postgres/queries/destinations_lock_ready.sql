-- Lock those of them that are still ready, in the order of all locks of destinations.
SELECT seq, caller_id, origin, endpoint_id FROM dispatcher.destination
WHERE seq = ANY ($1::bigint[]) AND (ready_at <= $2::bigint OR full_slots < $3::integer)
  AND paused_at IS NULL AND held_at IS NULL
ORDER BY caller_id COLLATE "C", origin COLLATE "C", endpoint_id COLLATE "C"
FOR NO KEY UPDATE
