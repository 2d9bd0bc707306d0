-- Have those of held destinations whose lease has ended wait with the others, as a claim would have
-- counted them: so they die of age as well. All are locked.
WITH theirs AS MATERIALIZED (
  SELECT
    delivery.seq, delivery.destination_seq, delivery.state, delivery.lease_until,
    delivery.unknown_count, delivery.cancel_requested_at
  FROM unnest($1::bigint[]) AS lost (seq)
  JOIN dispatcher.delivery ON delivery.seq = lost.seq
), lost AS MATERIALIZED (
  SELECT theirs.seq FROM theirs
  JOIN dispatcher.destination ON destination.seq = theirs.destination_seq
  WHERE destination.held_at IS NOT NULL
    AND theirs.state = 'sending' AND theirs.lease_until <= $2::bigint
    AND theirs.unknown_count < 3 AND theirs.cancel_requested_at IS NULL
)
UPDATE dispatcher.delivery AS delivery SET
  state = 'pending', lease = NULL, lease_until = NULL, unknown_count = unknown_count + 1
FROM lost
WHERE delivery.seq = lost.seq
