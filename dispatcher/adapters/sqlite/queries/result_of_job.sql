-- The result of a job.
SELECT body FROM job_result WHERE job_seq = ?
