-- A delivery as a change compares it, and its destination's `ready_at`. The destination of one
-- that has ended may be forgotten already.
SELECT
  delivery.seq, delivery.lease, delivery.attempt_count, delivery.first_lease,
  delivery.first_number, delivery.destination_seq, destination.ready_at,
  delivery.cancel_requested_at, delivery.endpoint_id, destination.held_at
FROM delivery
LEFT JOIN destination ON destination.seq = delivery.destination_seq
WHERE delivery.id = ?
