-- The deliveries of a job that is to be erased, locked in one order.
SELECT delivery.* FROM dispatcher.delivery WHERE job_seq = $1 ORDER BY seq FOR UPDATE
