-- What a claim of jobs has to know before it locks anything: the instant (PostgreSQL's own, unless a
-- test tells it), whether the lease of a holder has ended, and of one that holds a job; and in which of
-- some types something can be claimed.
WITH clock AS MATERIALIZED (
  SELECT coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
)
SELECT
  clock.now,
  EXISTS (SELECT 1 FROM dispatcher.holder WHERE expires_at <= clock.now),
  (
    SELECT TRUE FROM dispatcher.holder
    CROSS JOIN LATERAL (
      SELECT 1 FROM dispatcher.job WHERE job.holder_id = holder.id LIMIT 1
    ) AS held
    WHERE expires_at <= clock.now
    LIMIT 1
  ),
  ARRAY(
    SELECT wanted.type FROM unnest($2::text[]) AS wanted (type)
    CROSS JOIN LATERAL (
      SELECT 1 FROM dispatcher.lane
      WHERE lane.type = wanted.type AND ready_at <= clock.now AND paused_at IS NULL
      LIMIT 1
    ) AS first
  )
FROM clock
