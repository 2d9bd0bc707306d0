-- The events of a job after a sequence, oldest first.
SELECT event.* FROM dispatcher.event
WHERE job_seq = $1 AND sequence > $2
ORDER BY sequence
LIMIT $3
