-- Deliveries of a job, newest first. Another caller's are not even looked at: a page that goes on
-- would tell that there are some.
SELECT delivery.*, event.id, event.type, job.id
FROM dispatcher.job
JOIN dispatcher.delivery ON delivery.job_seq = job.seq
JOIN dispatcher.event ON event.seq = delivery.event_seq
WHERE job.id = $3 AND delivery.seq < $1 AND ($4::text IS NULL OR job.caller_id = $4)
ORDER BY delivery.seq DESC
LIMIT $2
