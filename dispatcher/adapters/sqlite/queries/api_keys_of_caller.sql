-- The API keys of a caller in force, newest first.
SELECT id, role, created_at, expires_at FROM api_key
WHERE caller_id = :caller_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
ORDER BY created_at DESC, id DESC
