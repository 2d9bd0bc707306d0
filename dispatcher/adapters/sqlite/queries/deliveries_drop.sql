-- A job has ended: what is pending of its earlier, best-effort events is no longer sent. Those have a
-- place in its course; what else belongs to the job (`delivery.dead`) goes on.
UPDATE delivery SET state = 'canceled', finished_at = :at, blocked = 0
WHERE job_seq = :job_seq AND state = 'pending'
  AND (SELECT sequence FROM event WHERE event.seq = delivery.event_seq) IS NOT NULL
