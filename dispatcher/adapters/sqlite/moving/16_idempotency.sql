-- Idempotency keys. One whose job was erased is spent until its time is over, and names no job.
SELECT
  idempotency.caller_id, idempotency.key, idempotency.digest,
  coalesce(job.id, '') AS job_id, idempotency.expires_at
FROM idempotency
LEFT JOIN job ON job.seq = idempotency.job_seq
WHERE (idempotency.caller_id, idempotency.key) > (coalesce(:after, ''), coalesce(:and_after, ''))
ORDER BY idempotency.caller_id, idempotency.key
