-- The service's own keys, sealed.
SELECT seq, id, public, sealed, created_at, retired_at FROM service_key
WHERE seq > coalesce(:after, 0)
ORDER BY seq
