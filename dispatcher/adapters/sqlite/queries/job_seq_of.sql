-- The number of a job.
SELECT seq FROM job WHERE id = ?
