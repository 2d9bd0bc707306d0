-- Have those of held destinations whose lease has ended wait with the others, as a claim would have
-- counted them: so they die of age as well. All are locked.
UPDATE dispatcher.delivery SET
  state = 'pending', lease = NULL, lease_until = NULL, unknown_count = unknown_count + 1
FROM dispatcher.destination
WHERE delivery.seq = ANY ($1::bigint[]) AND destination.seq = delivery.destination_seq
  AND destination.held_at IS NOT NULL
  AND delivery.state = 'sending' AND delivery.lease_until <= $2
  AND delivery.unknown_count < 3 AND delivery.cancel_requested_at IS NULL
