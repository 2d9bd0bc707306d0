-- Revoke an API key of a caller; one that was revoked before stays as it is.
UPDATE dispatcher.api_key SET revoked_at = coalesce(revoked_at, $3)
WHERE caller_id = $1 AND id = $2
RETURNING 1
