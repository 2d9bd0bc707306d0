-- Idempotency keys. One whose job is gone counts as unused, and stays behind.
SELECT
  idempotency.caller_id, idempotency.key, idempotency.digest, job.id AS job_id,
  idempotency.expires_at
FROM idempotency
JOIN job ON job.seq = idempotency.job_seq
WHERE (idempotency.caller_id, idempotency.key) > (coalesce(:after, ''), coalesce(:and_after, ''))
ORDER BY idempotency.caller_id, idempotency.key
