-- Jobs that ended in a way that is rare, newest first.
SELECT job.* FROM dispatcher.job
WHERE state = $3 AND state IN ('failed', 'canceled', 'expired') AND seq < $1
ORDER BY seq DESC
LIMIT $2
