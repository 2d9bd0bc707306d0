-- Jobs have ended: what is pending of their earlier, best-effort events is no longer sent. Those have a
-- place in the job's course; what else belongs to it (`delivery.dead`) goes on. They are looked for by
-- their jobs, however few the planner believes to be pending.
WITH theirs AS MATERIALIZED (
  SELECT delivery.seq, delivery.state, ended.at, delivery.event_seq
  FROM unnest($1::bigint[], $2::bigint[]) AS ended (job_seq, at)
  JOIN dispatcher.delivery ON delivery.job_seq = ended.job_seq
)
UPDATE dispatcher.delivery AS delivery SET
  state = 'canceled', finished_at = theirs.at, blocked = FALSE
FROM theirs
WHERE delivery.seq = theirs.seq AND theirs.state = 'pending' AND delivery.state || '' = 'pending'
  AND (SELECT sequence FROM dispatcher.event WHERE event.seq = theirs.event_seq) IS NOT NULL
