-- A destination: how many leases are alive, and whether something is pending and due.
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
    WHERE destination_seq = destination.seq AND state = 'pending' AND due_at <= :now
  )
FROM destination
WHERE caller_id = :caller_id AND origin = :origin AND endpoint_id = :endpoint_id
