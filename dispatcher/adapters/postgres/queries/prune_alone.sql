-- Erase events of no job with all of theirs. One of which a delivery has begun a new round stays.
-- That their deliveries were there is remembered since an instant (NULL: it is not).
WITH gone AS (
  SELECT event.seq FROM dispatcher.event
  WHERE event.seq = ANY ($1::bigint[]) AND event.job_seq IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.event_seq = event.seq AND delivery.job_seq IS NULL
        AND (
          delivery.state IN ('pending', 'sending')
          OR (delivery.state = 'dead' AND delivery.finished_at > $2::bigint)
        )
    )
  FOR UPDATE SKIP LOCKED
), deliveries AS (
  SELECT delivery.seq FROM dispatcher.delivery
  JOIN gone ON delivery.event_seq = gone.seq AND delivery.job_seq IS NULL
), remembered AS (
  INSERT INTO dispatcher.erased (id, caller_id, erased_at)
  SELECT delivery.id, delivery.caller_id, $3::bigint
  FROM dispatcher.delivery JOIN deliveries ON deliveries.seq = delivery.seq
  WHERE $3::bigint IS NOT NULL
  ON CONFLICT (id) DO NOTHING
), attempts AS (
  DELETE FROM dispatcher.attempt USING deliveries WHERE attempt.delivery_seq = deliveries.seq
), sent AS (
  DELETE FROM dispatcher.delivery USING deliveries WHERE delivery.seq = deliveries.seq
)
DELETE FROM dispatcher.event USING gone WHERE event.seq = gone.seq RETURNING event.seq
