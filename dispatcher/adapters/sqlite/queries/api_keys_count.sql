-- How many API keys of a caller are in force.
SELECT count(*) FROM api_key
WHERE caller_id = :caller_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
