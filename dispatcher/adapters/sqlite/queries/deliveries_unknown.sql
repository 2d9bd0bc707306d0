-- The deliveries of a destination whose lease has ended, and that are to be sent again at once.
SELECT due_at, seq FROM delivery
WHERE destination_seq = :seq AND state = 'sending' AND lease_until <= :now AND unknown_count < 3
  AND cancel_requested_at IS NULL
ORDER BY lease_until, seq
LIMIT :limit
