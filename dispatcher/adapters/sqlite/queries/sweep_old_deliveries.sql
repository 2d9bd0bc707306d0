-- Deliveries that have been pending for too long since they were made or redelivered.
SELECT delivery.*, event.id, event.type, job.id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
WHERE delivery.state = 'pending'
  AND coalesce(delivery.redelivered_at, delivery.created_at) <= :before
ORDER BY coalesce(delivery.redelivered_at, delivery.created_at), delivery.seq
LIMIT :limit
