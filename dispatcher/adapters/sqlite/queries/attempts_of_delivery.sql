-- The attempts of a delivery after the first, oldest first.
SELECT number, at, duration_ms, status_code, error, body FROM attempt
WHERE delivery_seq = ?
ORDER BY number
