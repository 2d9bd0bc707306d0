-- Deliveries that have been pending for too long since they were made or redelivered.
SELECT delivery.*, event.id, event.type, job.id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
LEFT JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.state = 'pending' AND coalesce(delivery.redelivered_at, delivery.created_at) <= $1
ORDER BY coalesce(delivery.redelivered_at, delivery.created_at), delivery.seq
LIMIT $2
