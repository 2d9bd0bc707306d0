-- The last attempts of deliveries, as far as they are not their first.
SELECT wanted.seq, last.number, last.at, last.duration_ms, last.status_code, last.error, last.body
FROM unnest($1::bigint[]) AS wanted (seq)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.attempt
  WHERE attempt.delivery_seq = wanted.seq
  ORDER BY attempt.number DESC
  LIMIT 1
) AS last
