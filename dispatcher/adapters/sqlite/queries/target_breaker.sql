-- Keep how the breaker of a target stands.
UPDATE target
SET breaker = :breaker, breaker_state = :state, open_until = :open_until, breaker_at = :now
WHERE seq = :target
