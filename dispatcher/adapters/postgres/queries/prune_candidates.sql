-- Jobs past their time, oldest first, from a point on; and whether one has to stay, for a delivery
-- that is open, or dead and kept to be redelivered.
SELECT
  expires_at,
  seq,
  EXISTS (
    SELECT 1 FROM dispatcher.delivery
    WHERE delivery.job_seq = job.seq
      AND (
        delivery.state IN ('pending', 'sending')
        OR (delivery.state = 'dead' AND delivery.finished_at > $2::bigint)
      )
  )
FROM dispatcher.job
WHERE expires_at <= $1::bigint AND (expires_at, seq) > ($3::bigint, $4::bigint)
ORDER BY expires_at, seq
LIMIT $5
