-- A new lane.
INSERT INTO lane (caller_id, queue, type, ready_at) VALUES (?, ?, ?, ?) RETURNING seq
