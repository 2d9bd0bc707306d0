-- Lease the oldest due delivery of a destination in the slot that came free: one statement for what
-- a claim asks in four; of those never tried before, or of the retries, as the turn is. Only for a
-- destination that is not ready by itself and that nothing else holds back: then it was full, and no
-- lease of it has ended. Both are looked at here, so that nobody need read them before.
UPDATE delivery SET state = 'sending', lease = :lease, lease_until = :until
WHERE
  seq = coalesce(
    (
      SELECT seq FROM delivery
      WHERE destination_seq = :place AND target_seq = 0 AND retried = :retried
        AND due_at <= :now AND state = 'pending' AND blocked = 0
      ORDER BY due_at, seq
      LIMIT 1
    ),
    (
      SELECT seq FROM delivery
      WHERE destination_seq = :place AND target_seq = 0 AND retried = 1 - :retried
        AND due_at <= :now AND state = 'pending' AND blocked = 0
      ORDER BY due_at, seq
      LIMIT 1
    )
  )
  AND (
    SELECT count(*) FROM delivery
    WHERE destination_seq = :place AND state = 'sending' AND lease_until > :now
  ) < :slots
  AND EXISTS (
    SELECT 1 FROM destination
    WHERE seq = :place AND ready_at > :now
      AND breaker IS NULL AND rate_per_second IS NULL AND paused_at IS NULL AND held_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = :place)
  )
RETURNING seq, id, due_at, attempt_count, unknown_count, round
