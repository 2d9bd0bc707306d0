-- Remember keys, in the order of the index, so that two who write the same ones don't wait for each
-- other; one past its time is replaced. Gives those that were free.
INSERT INTO dispatcher.idempotency AS known (caller_id, key, digest, job_id, expires_at)
SELECT caller_id, key, digest, job_id, expires_at
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[])
  AS new (caller_id, key, digest, job_id, expires_at)
ORDER BY caller_id COLLATE "C", key COLLATE "C"
ON CONFLICT (caller_id, key) DO UPDATE SET
  digest = excluded.digest, job_id = excluded.job_id, expires_at = excluded.expires_at
WHERE known.expires_at <= $6::bigint
RETURNING caller_id, key
