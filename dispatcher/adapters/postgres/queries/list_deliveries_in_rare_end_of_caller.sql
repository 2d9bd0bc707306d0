-- Those of a caller, newest first.
SELECT delivery.*, event.id, event.type, job.id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
LEFT JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.caller_id = $4 AND delivery.state = $3 AND delivery.state IN ('dead', 'canceled')
  AND delivery.seq < $1
ORDER BY delivery.seq DESC
LIMIT $2
