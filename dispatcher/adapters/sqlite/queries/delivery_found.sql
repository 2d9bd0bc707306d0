-- A delivery by its id.
SELECT delivery.*, event.id, event.type, job.id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
WHERE delivery.id = ?
