-- Jobs past their time, oldest first, from a point on; and whether one has to stay, for a delivery
-- that is open, or dead and kept to be redelivered.
SELECT
  candidate.expires_at,
  candidate.seq,
  (
    SELECT count(*) > 0 FROM dispatcher.delivery
    WHERE delivery.job_seq = candidate.seq
      AND (
        delivery.state IN ('pending', 'sending')
        OR (delivery.state = 'dead' AND delivery.finished_at > $2::bigint)
      )
  )
FROM (
  SELECT expires_at, seq FROM dispatcher.job
  WHERE expires_at <= $1::bigint AND (expires_at, seq) > ($3::bigint, $4::bigint)
  ORDER BY expires_at, seq
  LIMIT $5
) AS candidate
ORDER BY candidate.expires_at, candidate.seq
