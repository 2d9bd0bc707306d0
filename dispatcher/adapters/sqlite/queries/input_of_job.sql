-- The input of a job if it may be shown in it.
SELECT body FROM job_input WHERE job_seq = ? AND length(body) <= ?
