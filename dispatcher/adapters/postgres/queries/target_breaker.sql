-- Keep how the breaker of a target stands.
UPDATE dispatcher.target
SET breaker = $2, breaker_state = $3, open_until = $4, breaker_at = $5
WHERE seq = $1
