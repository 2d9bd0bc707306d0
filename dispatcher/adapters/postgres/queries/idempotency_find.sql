-- The first uses of keys, each with its job as it is now; NULL if it was erased.
SELECT known.caller_id, known.key, known.digest, known.job_id, job.*
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
JOIN dispatcher.idempotency AS known
  ON known.caller_id = wanted.caller_id AND known.key = wanted.key
LEFT JOIN dispatcher.job ON job.id = known.job_id
