-- A destination's `ready_at`, and whether nothing holds it back but its slots.
SELECT
  ready_at,
  breaker IS NULL AND rate_per_second IS NULL AND paused_at IS NULL AND held_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = destination.seq)
FROM destination
WHERE seq = ?
