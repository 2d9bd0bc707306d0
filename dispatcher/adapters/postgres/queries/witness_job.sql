-- Whether a job is there.
SELECT 1 FROM dispatcher.job WHERE id = $1
