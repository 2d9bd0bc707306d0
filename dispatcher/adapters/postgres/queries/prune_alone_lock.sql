-- Lock the deliveries of events of no job that are to be erased, in one order. Each event's are looked
-- up by themselves: for all at once the planners of PostgreSQL 15 and 16 would read those of no job
-- whole.
WITH found AS MATERIALIZED (
  SELECT alone.seq FROM unnest($1::bigint[]) AS event (seq)
  CROSS JOIN LATERAL (
    SELECT delivery.seq FROM dispatcher.delivery
    WHERE delivery.event_seq = event.seq AND delivery.job_seq IS NULL
    OFFSET 0
  ) AS alone
)
SELECT delivery.seq FROM dispatcher.delivery
WHERE delivery.seq = ANY (ARRAY(SELECT found.seq FROM found))
ORDER BY delivery.seq
FOR UPDATE OF delivery
