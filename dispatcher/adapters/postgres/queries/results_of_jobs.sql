-- The results of some jobs.
SELECT job_seq, body FROM dispatcher.job_result WHERE job_seq = ANY ($1::bigint[])
