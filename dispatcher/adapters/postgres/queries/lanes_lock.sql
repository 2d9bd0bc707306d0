-- Lock lanes, in the order of all locks of lanes, that changes of different kinds are about.
SELECT lane.seq
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (caller_id, queue, type)
JOIN dispatcher.lane
  ON lane.caller_id = wanted.caller_id AND lane.queue = wanted.queue AND lane.type = wanted.type
ORDER BY lane.caller_id COLLATE "C", lane.queue COLLATE "C", lane.type COLLATE "C"
FOR NO KEY UPDATE OF lane
