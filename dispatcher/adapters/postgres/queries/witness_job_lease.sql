-- Whether a job is under a lease.
SELECT 1 FROM dispatcher.job WHERE id = $1 AND lease = $2
