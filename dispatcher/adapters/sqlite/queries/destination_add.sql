-- A new destination; that of an endpoint that is disabled, or deleted, is held from the beginning.
INSERT INTO destination (caller_id, origin, endpoint_id, ready_at, held_at)
VALUES (
  :caller_id,
  :origin,
  :endpoint_id,
  NULL,
  (SELECT coalesce(deleted_at, disabled_at) FROM endpoint WHERE id = :endpoint_id)
)
RETURNING seq, held_at IS NOT NULL
