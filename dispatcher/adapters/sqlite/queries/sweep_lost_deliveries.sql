-- Deliveries whose lease has ended and that no claim takes again: their unknown attempts are used
-- up, or they were asked to cancel.
SELECT delivery.*, event.id, event.type, job.*, endpoint.*,
  (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM delivery
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id
WHERE delivery.state = 'sending'
  AND (delivery.unknown_count >= 3 OR delivery.cancel_requested_at IS NOT NULL)
  AND delivery.lease_until <= :now
ORDER BY delivery.lease_until, delivery.seq
LIMIT :limit
