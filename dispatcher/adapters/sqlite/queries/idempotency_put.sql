-- Remember a key; one past its time is replaced.
INSERT INTO idempotency (caller_id, key, digest, job_seq, expires_at)
VALUES (:caller_id, :key, :digest, :job_seq, :expires_at)
ON CONFLICT (caller_id, key) DO UPDATE SET
  digest = excluded.digest, job_seq = excluded.job_seq, expires_at = excluded.expires_at
