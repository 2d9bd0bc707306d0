-- Pause a destination, by its id; one that is paused stays so since when it was.
UPDATE destination SET paused_at = coalesce(paused_at, :at) WHERE id = :id
