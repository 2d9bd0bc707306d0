-- The lanes of callers' queues, of every type.
SELECT lane.seq, lane.caller_id, lane.queue, lane.ready_at
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, queue)
JOIN dispatcher.lane ON lane.caller_id = wanted.caller_id AND lane.queue = wanted.queue
