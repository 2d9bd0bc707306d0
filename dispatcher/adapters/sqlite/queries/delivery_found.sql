-- A delivery by its id.
SELECT delivery.*, event.id, event.type, job.id, job.caller_id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
JOIN job ON job.seq = delivery.job_seq
WHERE delivery.id = ?
