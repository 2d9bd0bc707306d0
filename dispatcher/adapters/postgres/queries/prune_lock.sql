-- Lock the deliveries of jobs that are to be erased, in one order.
SELECT seq FROM dispatcher.delivery WHERE job_seq = ANY ($1::bigint[]) ORDER BY seq FOR UPDATE
