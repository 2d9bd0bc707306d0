-- The API keys of callers in force, newest first.
SELECT caller_id, id, role, created_at, expires_at FROM dispatcher.api_key
WHERE caller_id = ANY ($1::text[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
ORDER BY created_at DESC, id COLLATE "C" DESC
