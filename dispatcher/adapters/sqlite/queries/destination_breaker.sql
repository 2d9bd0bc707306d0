-- Keep how the breaker of a destination stands.
UPDATE destination
SET breaker = :breaker, breaker_state = :state, open_until = :open_until, breaker_at = :now
WHERE seq = :seq
RETURNING id, caller_id, origin, endpoint_id
