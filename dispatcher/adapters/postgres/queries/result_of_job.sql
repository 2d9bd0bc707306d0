-- The result of a job.
SELECT body FROM dispatcher.job_result WHERE job_seq = $1
