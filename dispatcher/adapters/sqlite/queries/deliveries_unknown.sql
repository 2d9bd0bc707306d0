-- The deliveries of a line whose lease has ended, and that are to be sent again at once; whether
-- each is a retry.
SELECT due_at, seq, retried FROM delivery
WHERE destination_seq = :seq AND state = 'sending' AND lease_until <= :now AND unknown_count < 3
  AND cancel_requested_at IS NULL AND target_seq = :line
ORDER BY lease_until, seq
LIMIT :limit
