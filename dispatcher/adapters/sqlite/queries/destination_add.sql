-- A new destination.
INSERT INTO destination (id, caller_id, origin, endpoint_id) VALUES (?, ?, ?, ?) RETURNING seq
