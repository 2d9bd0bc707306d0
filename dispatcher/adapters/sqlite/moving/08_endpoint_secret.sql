-- Secrets of endpoints, sealed.
SELECT seq, endpoint_id, sealed, created_at, expires_at FROM endpoint_secret
WHERE seq > coalesce(:after, 0)
ORDER BY seq
