-- Attempts but the first.
SELECT delivery_seq, number, lease, at, duration_ms, status_code, error, body FROM attempt
WHERE (delivery_seq, number) > (coalesce(:after, 0), coalesce(:and_after, 0))
ORDER BY delivery_seq, number
