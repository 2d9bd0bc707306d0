-- Where deliveries wait.
SELECT
  seq, caller_id, origin, endpoint_id, ready_at, full_slots, id, paused_at, held_at, breaker,
  breaker_state, open_until, breaker_at, rate_per_second, rate_us
FROM destination
WHERE seq > coalesce(:after, 0)
ORDER BY seq
