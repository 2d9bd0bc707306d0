-- Deliveries of a job, newest first.
SELECT delivery.*, event.id, event.type, job.id, job.caller_id
FROM job
JOIN delivery ON delivery.job_seq = job.seq
JOIN event ON event.seq = delivery.event_seq
WHERE job.id = :job_id AND delivery.seq < :before
ORDER BY delivery.seq DESC
LIMIT :look
