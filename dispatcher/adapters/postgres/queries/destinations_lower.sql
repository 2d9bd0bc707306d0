-- Something of destinations can be claimed from an earlier instant on.
UPDATE dispatcher.destination AS destination
SET ready_at = wanted.ready_at
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (seq, ready_at)
WHERE destination.seq = wanted.seq
  AND (destination.ready_at IS NULL OR destination.ready_at > wanted.ready_at)
