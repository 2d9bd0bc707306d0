-- Resume a destination, by its id; it is looked at by the next claim.
UPDATE destination
SET paused_at = NULL, ready_at = CASE WHEN paused_at IS NULL THEN ready_at ELSE :now END
WHERE id = :id
RETURNING ready_at
