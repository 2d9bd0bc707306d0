-- Deliveries that ended in a way that is rare, newest first.
SELECT delivery.*, event.id, event.type, job.id
FROM delivery
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
WHERE delivery.state = :state AND (delivery.state = 'dead' OR delivery.state = 'canceled')
  AND delivery.seq < :before
ORDER BY delivery.seq DESC
LIMIT :look
