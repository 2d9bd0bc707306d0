-- Jobs past their time, oldest first, from a point on; and whether one has to stay, for a delivery
-- that is open, or dead and kept to be redelivered.
SELECT
  expires_at,
  seq,
  EXISTS (
    SELECT 1 FROM delivery
    WHERE delivery.job_seq = job.seq
      AND (
        delivery.state IN ('pending', 'sending')
        OR (delivery.state = 'dead' AND delivery.finished_at > :dead_since)
      )
  )
FROM job
WHERE expires_at <= :now AND (expires_at, seq) > (:expires_at, :seq)
ORDER BY expires_at, seq
LIMIT :limit
