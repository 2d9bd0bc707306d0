-- The first use of a key that is still in force.
SELECT digest, job_seq FROM idempotency
WHERE caller_id = :caller_id AND key = :key AND expires_at > :now
