-- Deliveries of a job, newest first. Another caller's are not even looked at: a page that goes on
-- would tell that there are some.
SELECT delivery.*, event.id, event.type, job.id
FROM job
JOIN delivery ON delivery.job_seq = job.seq
JOIN event ON event.seq = delivery.event_seq
WHERE job.id = :job_id AND delivery.seq < :before
  AND (:caller_id IS NULL OR job.caller_id = :caller_id)
ORDER BY delivery.seq DESC
LIMIT :look
