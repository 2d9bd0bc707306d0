-- A later attempt.
INSERT INTO attempt (delivery_seq, lease, number, at, duration_ms, status_code, error, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
