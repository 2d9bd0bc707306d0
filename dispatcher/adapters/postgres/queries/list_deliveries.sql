-- Deliveries of every job, newest first.
SELECT delivery.*, event.id, event.type, job.id, job.caller_id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.seq < $1
ORDER BY delivery.seq DESC
LIMIT $2
