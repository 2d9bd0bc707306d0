-- A job by its number.
SELECT job.* FROM job WHERE seq = ?
