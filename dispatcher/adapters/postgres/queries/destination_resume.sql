-- Resume a destination, by its id; it is looked at by the next claim.
UPDATE dispatcher.destination
SET paused_at = NULL, ready_at = CASE WHEN paused_at IS NULL THEN ready_at ELSE $2 END
WHERE id = $1
RETURNING ready_at
