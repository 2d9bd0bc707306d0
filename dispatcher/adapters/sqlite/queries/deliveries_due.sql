-- The deliveries of a destination to be sent now, the oldest due first.
SELECT due_at, seq FROM delivery
WHERE destination_seq = :seq AND state = 'pending' AND due_at <= :now
ORDER BY due_at, seq
LIMIT :limit
