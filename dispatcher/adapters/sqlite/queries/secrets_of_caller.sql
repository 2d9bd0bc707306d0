-- Since when and until when the signing secrets of a caller in force are so, newest first.
SELECT created_at, expires_at FROM secret
WHERE caller_id = :caller_id AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq DESC
