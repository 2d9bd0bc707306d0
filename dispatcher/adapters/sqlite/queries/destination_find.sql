-- A destination: how many leases are alive, whether a first attempt is pending and due, and whether
-- nothing holds it back but its slots.
SELECT
  seq,
  ready_at,
  full_slots,
  (
    SELECT count(*) FROM delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until > :now
  ),
  EXISTS (
    SELECT 1 FROM delivery
    WHERE destination_seq = destination.seq AND target_seq = 0 AND retried = 0
      AND due_at <= :now AND state = 'pending' AND blocked = 0
  ),
  breaker IS NULL AND rate_per_second IS NULL AND paused_at IS NULL AND held_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = destination.seq)
FROM destination
WHERE caller_id = :caller_id AND origin = :origin AND endpoint_id = :endpoint_id
