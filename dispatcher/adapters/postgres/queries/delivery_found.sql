-- A delivery by its id.
SELECT delivery.*, event.id, event.type, job.id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
LEFT JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.id = $1
