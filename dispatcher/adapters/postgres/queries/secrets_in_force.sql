-- The signing secrets of a caller in force, newest first.
SELECT sealed FROM dispatcher.secret
WHERE caller_id = $1 AND (expires_at IS NULL OR expires_at > $2)
ORDER BY seq DESC
