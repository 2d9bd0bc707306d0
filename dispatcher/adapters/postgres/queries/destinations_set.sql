-- When the next of destinations can be claimed; NULL: nothing waits.
UPDATE dispatcher.destination AS destination
SET ready_at = wanted.ready_at, full_slots = wanted.full_slots
FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS wanted (seq, ready_at, full_slots)
WHERE destination.seq = wanted.seq
