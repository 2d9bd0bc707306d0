-- Erase an event of no job.
DELETE FROM event WHERE seq = ? AND job_seq IS NULL
