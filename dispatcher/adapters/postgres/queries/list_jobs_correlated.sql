-- Jobs with a correlation id, newest first.
SELECT job.* FROM dispatcher.job
WHERE correlation_id = $3 AND seq < $1 AND ($4::text IS NULL OR caller_id = $4)
ORDER BY seq DESC
LIMIT $2
