-- The breaker of a target.
SELECT breaker FROM target WHERE seq = ?
