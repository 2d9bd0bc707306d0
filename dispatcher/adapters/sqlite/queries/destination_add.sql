-- A new destination.
INSERT INTO destination (caller_id, origin, ready_at) VALUES (?, ?, ?) RETURNING seq
