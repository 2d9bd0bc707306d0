-- How many API keys of a caller are in force.
SELECT count(*) FROM dispatcher.api_key
WHERE caller_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
