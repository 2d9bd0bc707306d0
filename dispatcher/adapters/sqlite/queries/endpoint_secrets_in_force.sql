-- The secrets of an endpoint in force, newest first; of one that was deleted too, while it is there.
SELECT sealed, created_at, expires_at FROM endpoint_secret
WHERE endpoint_id = :endpoint_id AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq DESC
