-- The secrets of endpoints in force, newest first; of one that was deleted too, while it is there.
SELECT endpoint_id, created_at, expires_at, sealed FROM dispatcher.endpoint_secret
WHERE endpoint_id = ANY ($1::text[]) AND (expires_at IS NULL OR expires_at > $2)
ORDER BY seq DESC
