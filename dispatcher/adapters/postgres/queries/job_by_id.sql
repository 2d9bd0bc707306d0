-- A job.
SELECT job.* FROM dispatcher.job WHERE id = $1
