-- Lease the oldest due delivery of a destination in the slot that came free: one statement for what
-- a claim asks in four. Only for a destination that is not ready by itself: then it was full, and no
-- lease of it has ended.
UPDATE delivery SET state = 'sending', lease = :lease, lease_until = :until
WHERE
  seq = (
    SELECT seq FROM delivery
    WHERE destination_seq = :place AND state = 'pending' AND due_at <= :now
    ORDER BY due_at, seq
    LIMIT 1
  )
  AND (
    SELECT count(*) FROM delivery
    WHERE destination_seq = :place AND state = 'sending' AND lease_until > :now
  ) < :slots
RETURNING seq, id, due_at, attempt_count, unknown_count, round
