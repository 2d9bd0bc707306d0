-- The front of a key, and whether it has begun.
SELECT seq, started_at IS NOT NULL FROM job
WHERE caller_id = :caller_id AND ordering_key = :key AND key_place = 1
