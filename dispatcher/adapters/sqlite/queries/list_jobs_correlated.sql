-- Jobs with a correlation id, newest first.
SELECT job.* FROM job
WHERE correlation_id = :correlation_id AND seq < :before
  AND (:caller_id IS NULL OR caller_id = :caller_id)
ORDER BY seq DESC
LIMIT :look
