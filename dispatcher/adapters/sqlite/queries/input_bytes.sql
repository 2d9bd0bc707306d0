-- The size of a job's input; of it the row alone is looked at.
SELECT length(body) FROM job_input WHERE job_seq = ?
