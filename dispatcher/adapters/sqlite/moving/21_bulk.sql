-- How far bulk operations have come.
SELECT job_seq, after_seq, matched, changed, skipped, total, ended FROM bulk
WHERE job_seq > coalesce(:after, 0)
ORDER BY job_seq
