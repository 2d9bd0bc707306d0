-- When the next of lanes can be claimed; NULL: none waits.
UPDATE dispatcher.lane AS lane SET ready_at = wanted.ready_at
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (seq, ready_at)
WHERE lane.seq = wanted.seq AND lane.ready_at IS DISTINCT FROM wanted.ready_at
