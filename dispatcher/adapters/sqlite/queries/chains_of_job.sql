-- The chains that the deliveries of a job are in.
SELECT DISTINCT chain FROM delivery WHERE job_seq = ? AND chain IS NOT NULL
