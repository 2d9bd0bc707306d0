-- Since when and until when the signing secrets of callers in force are so, newest first.
SELECT caller_id, created_at, expires_at FROM dispatcher.secret
WHERE caller_id = ANY ($1::text[]) AND (expires_at IS NULL OR expires_at > $2)
ORDER BY seq DESC
