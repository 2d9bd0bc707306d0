-- Deliveries of a caller, newest first.
SELECT delivery.*, event.id, event.type, job.id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
WHERE delivery.caller_id = :caller_id AND delivery.seq < :before
ORDER BY delivery.seq DESC
LIMIT :look
