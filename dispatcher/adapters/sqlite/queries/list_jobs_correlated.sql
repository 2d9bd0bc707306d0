-- Jobs with a correlation id, newest first.
SELECT job.* FROM job
WHERE correlation_id = :correlation_id AND seq < :before
ORDER BY seq DESC
LIMIT :look
