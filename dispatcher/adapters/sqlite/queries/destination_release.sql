-- Let a destination go that was held; it is looked at by the next claim.
UPDATE destination SET held_at = NULL, ready_at = :now WHERE seq = :seq AND held_at IS NOT NULL
