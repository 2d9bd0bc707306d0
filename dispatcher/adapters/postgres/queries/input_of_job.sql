-- The input of a job, if it is no longer than so many bytes.
SELECT body FROM dispatcher.job_input WHERE job_seq = $1 AND length(body) <= $2::bigint
