-- How far the bulk operation of a job has come.
SELECT bulk.after_seq, bulk.matched, bulk.changed, bulk.skipped, bulk.total, bulk.ended
FROM dispatcher.job
JOIN dispatcher.bulk ON bulk.job_seq = job.seq
WHERE job.id = $1
