-- Lease deliveries of locked destinations, and give them with all that their bytes are made of. One
-- that was sending counts an attempt of unknown outcome; one that somebody has locked is left out.
-- They are looked for by their numbers: what is added to the state keeps it off the indexes of what is
-- open, however little the planner believes that to be.
WITH free AS (
  SELECT delivery.seq, wanted.lease, delivery.state = 'sending' AS lost
  FROM unnest($1::bigint[], $2::text[]) AS wanted (seq, lease)
  JOIN dispatcher.delivery ON delivery.seq = wanted.seq
  WHERE delivery.state || '' = 'pending'
    OR (
      delivery.state || '' = 'sending' AND delivery.lease_until <= $4::bigint
      AND delivery.unknown_count < 3 AND delivery.cancel_requested_at IS NULL
    )
  FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE dispatcher.delivery AS delivery SET
  unknown_count = delivery.unknown_count + free.lost::integer,
  state = 'sending',
  lease = free.lease,
  lease_until = $3::bigint
FROM free
JOIN dispatcher.delivery AS was ON was.seq = free.seq
JOIN dispatcher.event ON event.seq = was.event_seq
LEFT JOIN dispatcher.job ON job.seq = was.job_seq
LEFT JOIN dispatcher.job_result
  ON job_result.job_seq = job.seq AND job.result_bytes <= $5::bigint
WHERE delivery.seq = free.seq
RETURNING delivery.*, event.*, job.*, job_result.body
