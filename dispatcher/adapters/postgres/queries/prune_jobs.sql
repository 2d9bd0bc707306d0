-- Erase jobs with all of theirs, and give their numbers. One that somebody has locked stays, and one
-- that has come to owe a delivery meanwhile. That they and their deliveries were there is remembered
-- since an instant (NULL: it is not).
WITH gone AS (
  SELECT job.seq FROM dispatcher.job
  WHERE job.seq = ANY ($1::bigint[])
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.job_seq = job.seq
        AND (
          delivery.state IN ('pending', 'sending')
          OR (delivery.state = 'dead' AND delivery.finished_at > $2::bigint)
        )
    )
  FOR UPDATE SKIP LOCKED
), deliveries AS (
  SELECT delivery.seq FROM dispatcher.delivery JOIN gone ON delivery.job_seq = gone.seq
), remembered AS (
  INSERT INTO dispatcher.erased (id, caller_id, erased_at)
  SELECT job.id, job.caller_id, $3::bigint
  FROM dispatcher.job JOIN gone ON gone.seq = job.seq
  WHERE $3::bigint IS NOT NULL
  UNION ALL
  SELECT delivery.id, delivery.caller_id, $3::bigint
  FROM dispatcher.delivery JOIN gone ON gone.seq = delivery.job_seq
  WHERE $3::bigint IS NOT NULL
  ON CONFLICT (id) DO NOTHING
), attempts AS (
  DELETE FROM dispatcher.attempt USING deliveries WHERE attempt.delivery_seq = deliveries.seq
), sent AS (
  DELETE FROM dispatcher.delivery USING gone WHERE delivery.job_seq = gone.seq
), events AS (
  DELETE FROM dispatcher.event USING gone WHERE event.job_seq = gone.seq
), inputs AS (
  DELETE FROM dispatcher.job_input USING gone WHERE job_input.job_seq = gone.seq
), results AS (
  DELETE FROM dispatcher.job_result USING gone WHERE job_result.job_seq = gone.seq
), bulks AS (
  DELETE FROM dispatcher.bulk USING gone WHERE bulk.job_seq = gone.seq
)
DELETE FROM dispatcher.job USING gone WHERE job.seq = gone.seq RETURNING job.seq
