-- A delivery as a change compares it, its destination's `ready_at`, and whether nothing holds that
-- back but its slots. The destination of one that has ended may be forgotten already.
SELECT
  delivery.seq, delivery.lease, delivery.attempt_count, delivery.first_lease,
  delivery.first_number, delivery.destination_seq, destination.ready_at,
  delivery.cancel_requested_at, delivery.chain,
  destination.breaker IS NULL AND destination.rate_per_second IS NULL
    AND destination.paused_at IS NULL AND destination.held_at IS NULL AND delivery.target_seq = 0
    AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = destination.seq),
  delivery.endpoint_id
FROM delivery
LEFT JOIN destination ON destination.seq = delivery.destination_seq
WHERE delivery.id = ?
