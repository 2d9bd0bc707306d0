-- Destinations that were full for a claim with fewer slots.
SELECT seq FROM destination WHERE full_slots < :slots AND held_at IS NULL LIMIT :limit
