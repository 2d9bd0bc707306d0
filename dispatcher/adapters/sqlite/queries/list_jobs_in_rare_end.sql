-- Jobs that ended in a way that is rare, newest first.
SELECT job.* FROM job
WHERE state = :state AND state IN ('failed', 'canceled', 'expired') AND seq < :before
ORDER BY seq DESC
LIMIT :look
