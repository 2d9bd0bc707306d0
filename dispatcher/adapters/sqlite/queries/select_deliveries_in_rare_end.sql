-- A caller's deliveries that ended in a way that is rare, oldest first. By an index that is named:
-- SQLite 3.53 would take the one of all callers, whose others it would read in vain.
SELECT delivery.*, event.id, event.type, job.id
FROM delivery INDEXED BY delivery_rare_end_of_caller
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
WHERE delivery.caller_id = :caller_id AND delivery.seq > :after AND delivery.seq <= :until
  AND delivery.state = :state AND (delivery.state = 'dead' OR delivery.state = 'canceled')
  AND (:url IS NULL OR delivery.url = :url)
  AND (:created_after IS NULL OR delivery.created_at > :created_after)
  AND (:created_before IS NULL OR delivery.created_at < :created_before)
  AND (:event_type IS NULL OR event.type = :event_type)
ORDER BY delivery.seq
LIMIT :limit
