-- Lock the deliveries of events of no job that are to be erased, in one order.
SELECT seq FROM dispatcher.delivery
WHERE event_seq = ANY ($1::bigint[]) AND job_seq IS NULL
ORDER BY seq
FOR UPDATE
