-- Results.
SELECT job_seq, body FROM job_result
WHERE job_seq > coalesce(:after, 0)
ORDER BY job_seq
