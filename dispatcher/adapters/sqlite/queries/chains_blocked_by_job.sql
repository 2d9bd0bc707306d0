-- The chains that a job's dead deliveries keep waiting.
SELECT DISTINCT chain FROM delivery
WHERE job_seq = ? AND state = 'dead' AND on_dead = 'block'
