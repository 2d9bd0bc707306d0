-- The events of a job after a sequence, oldest first.
SELECT event.* FROM event WHERE job_seq = :job_seq AND sequence > :after ORDER BY sequence LIMIT :limit
