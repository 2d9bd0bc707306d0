-- A new destination. That of an endpoint has its rate, and is held from the beginning if the endpoint
-- is disabled or deleted. Gives whether nothing holds it back but its slots.
INSERT INTO destination (id, caller_id, origin, endpoint_id, held_at, rate_per_second)
VALUES (
  :id,
  :caller_id,
  :origin,
  :endpoint_id,
  (SELECT coalesce(deleted_at, disabled_at) FROM endpoint WHERE id = :endpoint_id),
  (SELECT rate_limit FROM endpoint WHERE id = :endpoint_id)
)
RETURNING seq, held_at IS NULL AND rate_per_second IS NULL
