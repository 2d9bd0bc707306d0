-- The deliveries of a line to be sent now, the oldest due first: first attempts, or retries.
SELECT due_at, seq FROM delivery
WHERE destination_seq = :seq AND target_seq = :line AND retried = :retried
  AND due_at <= :now AND state = 'pending' AND blocked = 0
ORDER BY due_at, seq
LIMIT :limit
