-- The breaker of a target.
SELECT breaker FROM dispatcher.target WHERE seq = $1
