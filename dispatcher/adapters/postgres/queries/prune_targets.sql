-- Forget targets in whose line nothing waits: with a closed breaker soon, else after a day. One whose
-- destination somebody has locked stays.
DELETE FROM dispatcher.target WHERE seq = ANY (ARRAY (
  SELECT target.seq
  FROM dispatcher.target
  JOIN dispatcher.destination ON destination.seq = target.destination_seq
  WHERE target.ready_at IS NULL AND target.breaker_at < $1::bigint
    AND (
      target.breaker IS NULL OR target.breaker_state = 'closed' OR target.breaker_at < $2::bigint
    )
  LIMIT $3
  FOR UPDATE SKIP LOCKED
))
