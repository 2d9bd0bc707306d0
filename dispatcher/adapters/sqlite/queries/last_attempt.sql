-- The latest recorded attempt of a delivery after the first.
SELECT number, at, duration_ms, status_code, error, body FROM attempt
WHERE delivery_seq = ?
ORDER BY number DESC
LIMIT 1
