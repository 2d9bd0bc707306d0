-- Lease deliveries of locked destinations that were never tried, and of which all is known. One that
-- has changed since it was made, or that somebody has locked, is left out; and one that is another's by
-- now: after a crash or a fail-over that lost a commit, its number is given out again.
WITH free AS (
  SELECT delivery.seq, wanted.lease
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (seq, id, lease)
  JOIN dispatcher.delivery ON delivery.seq = wanted.seq AND delivery.id = wanted.id
  WHERE delivery.state || '' = 'pending' AND delivery.attempt_count = 0
    AND delivery.unknown_count = 0 AND delivery.round = 1 AND delivery.target_seq = 0
  FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE dispatcher.delivery AS delivery SET
  state = 'sending',
  lease = free.lease,
  lease_until = $4::bigint
FROM free
WHERE delivery.seq = free.seq
RETURNING delivery.seq, delivery.due_at
