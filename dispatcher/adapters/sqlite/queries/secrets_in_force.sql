-- The signing secrets of a caller in force, newest first.
SELECT sealed FROM secret
WHERE caller_id = :caller_id AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq DESC
