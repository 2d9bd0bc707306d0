-- Deliveries whose lease has ended and that no claim takes again: their unknown attempts are used
-- up, or they were asked to cancel.
SELECT delivery.*, event.id, event.type, job.*
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
LEFT JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.state = 'sending'
  AND (delivery.unknown_count >= 3 OR delivery.cancel_requested_at IS NOT NULL)
  AND delivery.lease_until <= $1
ORDER BY delivery.lease_until, delivery.seq
LIMIT $2
