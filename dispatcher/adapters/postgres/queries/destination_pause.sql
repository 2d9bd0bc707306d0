-- Pause a destination, by its id; one that is paused stays so since when it was.
UPDATE dispatcher.destination SET paused_at = coalesce(paused_at, $2) WHERE id = $1 RETURNING 1
