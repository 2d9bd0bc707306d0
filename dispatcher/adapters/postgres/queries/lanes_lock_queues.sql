-- The other ready lanes of callers' queues: priorities hold across the types of a queue.
SELECT lane.seq, lane.caller_id, lane.queue, lane.type
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, queue)
JOIN dispatcher.lane ON lane.caller_id = wanted.caller_id AND lane.queue = wanted.queue
WHERE lane.type = ANY ($3::text[]) AND lane.ready_at <= $4::bigint AND lane.paused_at IS NULL
  AND lane.seq <> ALL ($5::bigint[])
FOR NO KEY UPDATE OF lane SKIP LOCKED
