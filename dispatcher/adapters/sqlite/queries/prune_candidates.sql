-- Jobs past their time, oldest first, from a point on; and whether they owe an open delivery.
SELECT
  expires_at,
  seq,
  EXISTS (
    SELECT 1 FROM delivery
    WHERE delivery.job_seq = job.seq AND delivery.state IN ('pending', 'sending')
  )
FROM job
WHERE expires_at <= :now AND (expires_at, seq) > (:expires_at, :seq)
ORDER BY expires_at, seq
LIMIT :limit
