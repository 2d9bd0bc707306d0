-- A caller's deliveries that ended in a way that is rare, oldest first.
SELECT delivery.*, event.id, event.type, job.id
FROM dispatcher.delivery
JOIN dispatcher.event ON event.seq = delivery.event_seq
LEFT JOIN dispatcher.job ON job.seq = delivery.job_seq
WHERE delivery.caller_id = $4 AND delivery.seq > $1 AND delivery.seq <= $2
  AND delivery.state = $5 AND delivery.state IN ('dead', 'canceled')
  AND ($6::text IS NULL OR delivery.url = $6)
  AND ($7::bigint IS NULL OR delivery.created_at > $7)
  AND ($8::bigint IS NULL OR delivery.created_at < $8)
  AND ($9::text IS NULL OR event.type = $9)
ORDER BY delivery.seq
LIMIT $3
