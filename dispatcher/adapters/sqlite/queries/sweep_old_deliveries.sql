-- Deliveries that have been pending for too long.
SELECT delivery.*, event.id, event.type, job.id, job.caller_id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
JOIN job ON job.seq = delivery.job_seq
WHERE delivery.state = 'pending' AND delivery.created_at <= :before
ORDER BY delivery.created_at, delivery.seq
LIMIT :limit
