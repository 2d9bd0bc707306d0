-- Hold the destinations of an endpoint, which are locked: nothing of them is claimed until they are
-- released.
UPDATE dispatcher.destination SET held_at = coalesce(held_at, $2)
WHERE endpoint_id = $1 AND endpoint_id <> ''
