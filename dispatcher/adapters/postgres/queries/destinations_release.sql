-- Let the destinations of an endpoint go, which are locked; they are looked at by the next claim.
UPDATE dispatcher.destination SET held_at = NULL, ready_at = $2, full_slots = NULL
WHERE endpoint_id = $1 AND endpoint_id <> '' AND held_at IS NOT NULL
RETURNING 1
