-- Destinations that were full for a claim with fewer slots; none of the callers named.
SELECT seq, caller_id FROM destination
WHERE full_slots < :slots AND paused_at IS NULL AND held_at IS NULL
  AND (:full IS NULL OR caller_id NOT IN (SELECT value FROM json_each(:full)))
LIMIT :limit
