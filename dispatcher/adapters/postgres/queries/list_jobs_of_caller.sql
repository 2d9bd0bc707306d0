-- Jobs of a caller, newest first.
SELECT job.* FROM dispatcher.job WHERE caller_id = $3 AND seq < $1 ORDER BY seq DESC LIMIT $2
