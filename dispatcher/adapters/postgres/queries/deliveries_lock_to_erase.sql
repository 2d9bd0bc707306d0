-- The deliveries of jobs that are to be erased, locked in one order.
SELECT delivery.* FROM dispatcher.delivery
WHERE job_seq = ANY ($1::bigint[])
ORDER BY seq
FOR UPDATE
