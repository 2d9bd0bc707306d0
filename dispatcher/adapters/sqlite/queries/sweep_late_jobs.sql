-- Jobs that have not ended and are too late.
SELECT job.* FROM job
WHERE late_at <= :now AND finished_at IS NULL
ORDER BY late_at, seq
LIMIT :limit
