-- Jobs that have not ended and are too late.
SELECT job.* FROM dispatcher.job
WHERE late_at <= $1 AND finished_at IS NULL
ORDER BY late_at, seq
LIMIT $2
