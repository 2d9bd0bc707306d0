-- Forget a target against which nothing speaks and in whose line nothing waits.
DELETE FROM dispatcher.target WHERE seq = $1 AND breaker IS NULL AND ready_at IS NULL
