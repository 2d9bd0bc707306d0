-- Forget keys of jobs that were not taken in.
DELETE FROM dispatcher.idempotency AS known
USING unnest($1::text[], $2::text[], $3::text[]) AS refused (caller_id, key, job_id)
WHERE known.caller_id = refused.caller_id AND known.key = refused.key
  AND known.job_id = refused.job_id
