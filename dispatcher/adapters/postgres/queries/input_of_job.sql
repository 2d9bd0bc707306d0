-- The input of a job if it may be shown in it.
SELECT body FROM dispatcher.job_input WHERE job_seq = $1 AND length(body) <= $2
