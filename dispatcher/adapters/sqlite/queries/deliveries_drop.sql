-- A job has ended: what is pending of its earlier, best-effort events is no longer sent.
UPDATE delivery SET state = 'canceled', finished_at = :at, blocked = 0
WHERE job_seq = :job_seq AND state = 'pending'
