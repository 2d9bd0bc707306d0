-- A job with what a change is compared with.
SELECT job.* FROM job WHERE id = ?
