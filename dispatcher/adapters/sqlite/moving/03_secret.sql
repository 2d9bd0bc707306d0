-- Secrets of callers, sealed.
SELECT seq, caller_id, sealed, created_at, expires_at FROM secret
WHERE seq > coalesce(:after, 0)
ORDER BY seq
