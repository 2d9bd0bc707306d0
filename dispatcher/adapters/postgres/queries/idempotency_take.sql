-- Take keys over whose jobs were erased.
UPDATE dispatcher.idempotency AS known
SET digest = new.digest, job_id = new.job_id, expires_at = new.expires_at
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::text[])
  AS new (caller_id, key, digest, job_id, expires_at, gone)
WHERE known.caller_id = new.caller_id AND known.key = new.key AND known.job_id = new.gone
