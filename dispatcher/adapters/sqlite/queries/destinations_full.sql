-- Destinations that were full for a claim with fewer slots.
SELECT seq FROM destination WHERE full_slots < :slots LIMIT :limit
