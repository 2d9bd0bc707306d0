-- A delivery by its id.
SELECT delivery.*, event.id, event.type, job.id, job.caller_id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.id = $1
