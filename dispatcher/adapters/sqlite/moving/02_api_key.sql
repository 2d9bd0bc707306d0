-- API keys.
SELECT id, caller_id, role, digest, created_at, expires_at, revoked_at FROM api_key
WHERE id > coalesce(:after, '')
ORDER BY id
