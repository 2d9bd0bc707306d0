-- Events of no job past their time, oldest first, from a point on; and whether one has to stay, for a
-- delivery that is open, or dead and kept to be redelivered.
SELECT
  at,
  seq,
  EXISTS (
    SELECT 1 FROM dispatcher.delivery
    WHERE delivery.event_seq = event.seq AND delivery.job_seq IS NULL
      AND (
        delivery.state IN ('pending', 'sending')
        OR (delivery.state = 'dead' AND delivery.finished_at > $1::bigint)
      )
  )
FROM dispatcher.event
WHERE job_seq IS NULL AND at <= $1::bigint AND at >= $2::bigint
  AND (at, seq) > ($2::bigint, $3::bigint)
ORDER BY at, seq
LIMIT $4
