-- Whether an event was written for a job already: then the change is one that was sent before.
SELECT 1 FROM event WHERE id = ? AND job_seq = ?
