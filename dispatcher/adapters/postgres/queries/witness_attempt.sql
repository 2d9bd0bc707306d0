-- Whether an attempt was recorded under a lease.
SELECT 1 FROM dispatcher.delivery
WHERE id = $1
  AND (
    first_lease = $2
    OR (
      SELECT 1 FROM dispatcher.attempt
      WHERE attempt.delivery_seq = delivery.seq AND attempt.lease = $2
      LIMIT 1
    ) IS NOT NULL
  )
