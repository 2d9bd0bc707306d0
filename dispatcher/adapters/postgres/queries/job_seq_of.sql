-- The number of a job.
SELECT seq FROM dispatcher.job WHERE id = $1
