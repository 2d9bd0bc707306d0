-- Lanes by what they are for.
SELECT lane.seq, lane.caller_id, lane.queue, lane.type
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (caller_id, queue, type)
JOIN dispatcher.lane
  ON lane.caller_id = wanted.caller_id AND lane.queue = wanted.queue AND lane.type = wanted.type
