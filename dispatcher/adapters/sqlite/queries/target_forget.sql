-- Forget a target against which nothing speaks and in whose line nothing waits.
DELETE FROM target WHERE seq = ? AND breaker IS NULL AND ready_at IS NULL
