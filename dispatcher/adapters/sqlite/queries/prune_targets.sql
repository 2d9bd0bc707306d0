-- Forget targets in whose line nothing waits: with a closed breaker soon, else after a day.
DELETE FROM target WHERE seq IN (
  SELECT seq FROM target
  WHERE ready_at IS NULL AND breaker_at < :closed_since
    AND (breaker IS NULL OR breaker_state = 'closed' OR breaker_at < :open_since)
  LIMIT :limit
)
