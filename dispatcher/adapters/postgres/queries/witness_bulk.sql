-- Whether the bulk operation of a job has come so far.
SELECT 1 FROM dispatcher.job
JOIN dispatcher.bulk ON bulk.job_seq = job.seq
WHERE job.id = $1 AND bulk.after_seq >= $2::text::bigint
