-- A new destination.
INSERT INTO destination (caller_id, origin, endpoint_id, ready_at) VALUES (?, ?, ?, ?) RETURNING seq
