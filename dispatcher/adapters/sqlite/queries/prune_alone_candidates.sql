-- Events of no job past their time, oldest first, from a point on; and whether one has to stay, for a
-- delivery that is open, or dead and kept to be redelivered.
SELECT
  at,
  seq,
  EXISTS (
    SELECT 1 FROM delivery
    WHERE delivery.event_seq = event.seq AND delivery.job_seq IS NULL
      AND (
        delivery.state IN ('pending', 'sending')
        OR (delivery.state = 'dead' AND delivery.finished_at > :dead_since)
      )
  )
FROM event INDEXED BY event_alone
WHERE job_seq IS NULL AND at <= :dead_since AND (at, seq) > (:at, :seq)
ORDER BY at, seq
LIMIT :limit
