-- Jobs of every caller, newest first.
SELECT job.* FROM dispatcher.job WHERE seq < $1 ORDER BY seq DESC LIMIT $2
