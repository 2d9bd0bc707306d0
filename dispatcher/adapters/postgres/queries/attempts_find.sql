-- Which later attempts were recorded under their leases.
SELECT attempt.delivery_seq, attempt.number, attempt.lease
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS wanted (delivery_seq, number, lease)
JOIN dispatcher.attempt
  ON attempt.delivery_seq = wanted.delivery_seq AND attempt.number = wanted.number
WHERE attempt.lease = wanted.lease
