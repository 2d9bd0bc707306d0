-- Revoke an API key; one that was revoked before stays as it is.
UPDATE api_key SET revoked_at = coalesce(revoked_at, :now)
WHERE id = :id AND caller_id = :caller_id
