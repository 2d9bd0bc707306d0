-- The attempts of deliveries after the first, oldest first.
SELECT delivery_seq, number, at, duration_ms, status_code, error, body FROM dispatcher.attempt
WHERE delivery_seq = ANY ($1::bigint[])
ORDER BY delivery_seq, number
