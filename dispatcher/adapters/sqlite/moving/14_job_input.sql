-- Inputs.
SELECT job_seq, body FROM job_input
WHERE job_seq > coalesce(:after, 0)
ORDER BY job_seq
