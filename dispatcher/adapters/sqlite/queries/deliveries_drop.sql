-- A job has ended: what is pending of its earlier, best-effort events is no longer sent.
UPDATE delivery SET state = 'canceled', finished_at = :at
WHERE job_seq = :job_seq AND state = 'pending'
